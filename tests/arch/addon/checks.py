"""Claims every addon must meet, and small tools to state them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from pgolf.arch.block import ForwardContext
from pgolf.arch.visits import Visit
from pgolf.config.compose import compose, settings
from pgolf.core.make import make
from pgolf.optimizer.muon_adamw import partition
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model

R11 = ("arch.layers=11", "arch.mlp_hidden=1536")


def assert_sound(*words: str) -> None:
    """Of an addon of a block: causal, one graph, finite in bf16, every parameter in one group and trained."""
    assert_causal(tiny_model(*words))
    assert_one_graph(tiny_model(*words, "arch.layers=2"), logits=True)
    assert_finite_under_bf16(tiny_model(*words))
    assert_partitioned(tiny_model(*words))
    assert_trains(*words)


def assert_finite_under_bf16(model: Any, idle: Collection[str] = ()) -> None:
    """Under autocast, as training runs it: the loss near fp32's, finite gradients, an fp32 stream.

    Every parameter has a gradient but those whose name ends in one of ``idle``.
    """
    randomise(model)
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(ids(), ids(seed=1))
        start = model.embed(ids())
    assert start.dtype == torch.float32
    torch.testing.assert_close(loss, model.loss(ids(), ids(seed=1)), rtol=3e-2, atol=0.0)
    loss.backward()
    for name, parameter in model.named_parameters():
        if not name.endswith(tuple(idle)):
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def assert_partitioned(model: Any) -> None:
    """Every parameter has one spec and lies in one group; the state holds nothing but parameters, in fp32."""
    specs = model.param_specs()
    assert specs.keys() == dict(model.named_parameters()).keys() == model.state_dict().keys()
    assert all(p.dtype == torch.float32 for p in model.parameters())
    partition(model)


def assert_trains(*words: str) -> None:
    """Addon parameters have gradients once one step is done; they are scalars, and kept."""
    model = tiny_model(*words)
    one_step(model)
    model.zero_grad(set_to_none=True)
    model.loss(ids(seed=2), ids(seed=3)).backward()
    for name, parameter in addon_parameters(model).items():
        assert parameter.grad is not None and parameter.grad.any(), f"{name} is not trained"
        spec = model.param_specs()[name]
        assert spec.group == "scalar" and spec.storage in ("keep_fp32", "keep_fp16"), name


def addon_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if name.startswith("addons.")}


def parameters_at_record(*words: str, vocab_size: int = 1024) -> int:
    """The parameter count at ``size=record``, built without memory."""
    arch = settings(compose(["size=record", "tokenizer=sp1024", *words]))["arch"]
    with torch.device("meta"):
        model = make(arch, vocab_size=vocab_size, bos_id=1)
    return sum(p.numel() for p in model.parameters())


def added_parameters(*words: str) -> int:
    """What the words add to the baseline at ``size=record``."""
    return parameters_at_record(*words) - parameters_at_record()


def added_at_record(addon: str, *words: str) -> int:
    """How many parameters the addon brings to eleven layers of width 512 with 1,024 words."""
    plain = [word for word in words if not word.startswith("arch.addons.")]
    return parameters_at_record(*R11, f"arch/addon=[{addon}]", *words) - parameters_at_record(*R11, *plain)


def twins(*words: str) -> tuple[Any, Any]:
    """The baseline, out of the step-0 trap, and the model with ``words`` carrying the same weights."""
    plain, other = tiny_model(), tiny_model(*words)
    randomise(plain)
    missing, unexpected = other.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("addons.") for name in missing)
    return plain, other


def context_of(visit: Visit | None = None, time: int = 24, width: int = 32) -> ForwardContext:
    tokens = ids(time=time)
    return ForwardContext(tokens, torch.randn(*tokens.shape, width), visit=visit)
