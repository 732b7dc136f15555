"""Claims every addon of a block must meet, and small tools to state them."""

from __future__ import annotations

from typing import Any

import torch

from pgolf.arch.block import Context
from pgolf.arch.visits import Visit
from pgolf.optimizer.muon_adamw import partition
from tests.arch.addon.properties import parameters_at_record
from tests.arch.causality import assert_causal, one_step
from tests.helpers import ids, randomise, tiny_model


def added_parameters(*words: str) -> int:
    """What the words add to the baseline at ``size=record``."""
    return parameters_at_record(*words) - parameters_at_record()


def twins(*words: str) -> tuple[Any, Any]:
    """The baseline, out of the step-0 trap, and the model with ``words`` carrying the same weights."""
    plain, other = tiny_model(), tiny_model(*words)
    randomise(plain)
    missing, unexpected = other.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("addons.") for name in missing)
    return plain, other


def context_of(visit: Visit | None = None, time: int = 24, width: int = 32) -> Context:
    tokens = ids(time=time)
    return Context(tokens, torch.randn(*tokens.shape, width), visit=visit)


def addon_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if name.startswith("addons.")}


def assert_sound(*words: str) -> None:
    """Causal, one graph, finite in bf16, every parameter in one group and trained after one step."""
    assert_causal(tiny_model(*words))
    assert_one_graph(*words)
    assert_finite_in_bf16(*words)
    assert_trains(*words)


def assert_one_graph(*words: str) -> None:
    torch.compiler.reset()
    model = tiny_model("arch.layers=2", *words)
    randomise(model)
    compiled = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
    loss, expected = compiled(ids(), ids(seed=1)), model.loss(ids(), ids(seed=1))
    torch.testing.assert_close(loss, expected)
    loss.backward()


def assert_finite_in_bf16(*words: str) -> None:
    model = tiny_model(*words)
    randomise(model)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(ids(), ids(seed=1))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    torch.testing.assert_close(loss, model.loss(ids(), ids(seed=1)), rtol=3e-2, atol=0.0)


def assert_trains(*words: str) -> None:
    """Every parameter has one optimizer group; addon parameters have gradients once one step is done."""
    model = tiny_model(*words)
    assert model.param_specs().keys() == dict(model.named_parameters()).keys()
    partition(model)
    one_step(model)
    model.zero_grad(set_to_none=True)
    model.loss(ids(seed=2), ids(seed=3)).backward()
    for name, parameter in addon_parameters(model).items():
        assert parameter.grad is not None and parameter.grad.any(), f"{name} is not trained"
        spec = model.param_specs()[name]
        assert spec.group == "scalar" and spec.storage in ("keep_fp32", "keep_fp16"), name
