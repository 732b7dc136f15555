"""What the tests of the mlp, attention and init options share."""

from __future__ import annotations

from typing import Any

import torch

from pgolf.config.compose import compose, settings
from pgolf.core.make import make
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model


def assert_option_is_sound(*words: str) -> None:
    """Causal, in groups, one graph, finite in bf16, and with finite gradients everywhere after one step."""
    assert_one_graph(tiny_model(*words, "arch.layers=2"))
    assert_causal(tiny_model(*words))
    model = tiny_model(*words)
    assert model.param_specs().keys() == dict(model.named_parameters()).keys()
    randomise(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.loss(ids(), ids(seed=1)).isfinite()
    assert all(grad.isfinite().all() for grad in gradients_after_one_step(tiny_model(*words)).values())


def gradients_after_one_step(model: Any) -> dict[str, torch.Tensor]:
    """Gradients by parameter name on the second step, after the output projections have moved."""
    one_step(model)
    model.zero_grad(set_to_none=True)
    model.loss(ids(seed=5), ids(seed=6)).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def record_model(*words: str) -> Any:
    """The model of R11 (spec arch §1) with further words, without memory."""
    sizes = ["size=record", "size.layers=11", "size.mlp_hidden=1536", "tokenizer=sp1024"]
    with torch.device("meta"):
        return make(settings(compose([*sizes, *words]))["arch"], vocab_size=1024, bos_id=1)


def parameters(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())
