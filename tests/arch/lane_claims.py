"""What the tests of all lane options share: hidden states of an option against those of another."""

from __future__ import annotations

from typing import Any

import torch

from pgolf.arch.visits import route
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.arch.option_claims import record_model
from tests.helpers import ids, randomise, tiny_model


def neutral(model: Any, fill: dict[str, float]) -> Any:
    """Random matrices, residual mix (1, 0), and the lanes' parameters filled as given."""
    randomise(model)
    with torch.no_grad():
        for name, value in fill.items():
            getattr(model.lanes, name).fill_(value)
    return model


def hidden(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.hidden(ids())


def repeat_start_layer(model: Any) -> Any:
    """Run layers 4 and 5 (lanes from 4) twice in the decoder half, their controls shared by both visits."""
    model.routes["again"] = route("again", [0, 1, 2, 3, 4, 5, 4, 5], encoder=3, keys="physical")
    model.active = "again"
    return model


def assert_lanes_are_sound(words: tuple[str, ...]) -> None:
    """Causal, in groups, one graph, finite in bf16, and trained: what every option must show."""
    assert_one_graph(tiny_model(*words, "arch.layers=2", "arch.lanes.start=1"))
    assert_causal(tiny_model(*words))
    assert_causal(repeat_start_layer(tiny_model(*words)))
    model = tiny_model(*words)
    specs = model.param_specs()
    for name in dict(model.lanes.named_parameters()):
        assert specs[f"lanes.{name}"].group == "scalar" and specs[f"lanes.{name}"].storage == "keep_fp32"
    randomise(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.loss(ids(), ids(seed=1)).isfinite()


def gradients_after_one_step(words: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Gradients of the lanes' parameters on the second step, after the output projections have moved."""
    model = tiny_model(*words)
    one_step(model)
    model.zero_grad(set_to_none=True)
    model.loss(ids(seed=5), ids(seed=6)).backward()
    return {name: p.grad for name, p in model.lanes.named_parameters()}


def record_lane_parameters(*words: str) -> int:
    """Parameters of the lanes at ``size=record`` with the published 11 layers and lanes from 7."""
    return sum(p.numel() for p in record_model(*words).lanes.parameters())
