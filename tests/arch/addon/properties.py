"""What every addon must keep: one graph, finite under bf16, parameters in exactly one group, published sizes."""

from __future__ import annotations

from typing import Any

import torch

from pgolf.config.compose import compose, settings
from pgolf.core.make import make
from tests.helpers import ids, randomise, tiny_model

R11 = ("arch.layers=11", "arch.mlp_hidden=1536")


def assert_compiles(*words: str, layers: int = 1) -> None:
    """Training loss and evaluation logits each trace to one graph and equal what runs without a compiler.

    On few layers, as each takes its time to trace.
    """
    model = tiny_model(*words, f"arch.layers={layers}")
    randomise(model)
    x, y = ids(seed=1), ids(seed=2)
    torch._dynamo.reset()
    model.train()
    loss = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(x, y)
    torch.testing.assert_close(loss, model.loss(x, y))
    loss.backward()
    model.eval()
    with torch.no_grad():
        logits = torch.compile(model.logits, fullgraph=True, backend="aot_eager")(x)
        torch.testing.assert_close(logits, model.logits(x))


def assert_finite_under_bf16(model: Any) -> None:
    """Under autocast, as training runs it: a finite loss, finite gradients for every parameter, an fp32 stream."""
    randomise(model)
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(ids(), ids(seed=1))
        start = model.embed(ids())
    assert torch.isfinite(loss) and start.dtype == torch.float32
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def assert_partitioned(model: Any) -> None:
    """Every parameter has one spec, and the state holds nothing but parameters, in fp32."""
    specs = model.param_specs()
    assert specs.keys() == dict(model.named_parameters()).keys() == model.state_dict().keys()
    assert all(p.dtype == torch.float32 for p in model.parameters())


def parameters_at_record(*words: str, vocab_size: int = 1024) -> int:
    """The parameter count at ``size=record``, built without memory."""
    arch = settings(compose(["size=record", "tokenizer=sp1024", *words]))["arch"]
    with torch.device("meta"):
        model = make(arch, vocab_size=vocab_size, bos_id=1)
    return sum(p.numel() for p in model.parameters())


def added_at_record(addon: str, *words: str) -> int:
    """How many parameters the addon brings to eleven layers of width 512 with 1,024 words."""
    plain = [word for word in words if not word.startswith("arch.addons.")]
    return parameters_at_record(*R11, f"arch/addon=[{addon}]", *words) - parameters_at_record(*R11, *plain)
