"""Groups partition the parameters; the learning-rate scale and the momentum ramp act; state resumes exactly."""

import copy

import pytest
import torch

from pgolf.core.make import make
from pgolf.optimizer.muon_adamw import partition
from tests.helpers import ids, tiny_model, tiny_settings


def optimizer_for(model, *words):
    return make(tiny_settings("optimizer.ns_dtype=float32", *words)["optimizer"], model=model)


def step(model, optimizer, seed, scale=1.0, progress=0.5):
    optimizer.zero_grad()
    model.loss(ids(seed=seed), ids(seed=seed + 100)).backward()
    optimizer.step(scale, progress)


def test_every_parameter_is_in_exactly_one_group():
    model = tiny_model("arch.tie_embeddings=false")
    groups = partition(model)
    assert sum(len(members) for members in groups.values()) == len(list(model.parameters()))
    assert {id(p) for members in groups.values() for p in members} == {id(p) for p in model.parameters()}
    assert len(groups["embedding"]) == 1 and len(groups["head"]) == 1
    assert all(p.ndim == 2 for p in groups["matrix"])


def test_a_parameter_nobody_declared_is_an_error():
    model = tiny_model()
    model.stray = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(AssertionError, match="stray"):
        partition(model)


def test_scalars_without_decay_stay_out_of_the_decay_of_the_others():
    model = tiny_model("arch/mlp=polyglu_routed", "arch.mlp.routing=causal_mean")
    groups = partition(model)
    assert groups["scalar"] and groups["scalar_no_decay"]
    optimizer = optimizer_for(model, "optimizer.scalar_weight_decay=0.5", "optimizer.scalar_lr=0.1")
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    before = {id(p): p.detach().clone() for p in model.parameters()}
    optimizer.step(1.0, 0.5)
    for p in groups["scalar"]:  # without a gradient AdamW only decays: w ← (1 − 0.1 · 0.5) w
        torch.testing.assert_close(p.detach(), 0.95 * before[id(p)])
    for p in groups["scalar_no_decay"]:
        assert torch.equal(p, before[id(p)]) and p.grad is not None


def test_a_scale_of_zero_changes_nothing():
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    step(model, optimizer_for(model), 0, scale=0.0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_momentum_ramps_over_the_stated_fraction():
    model = tiny_model()
    optimizer = optimizer_for(
        model, "optimizer.momentum_start=0.8", "optimizer.momentum_end=0.9", "optimizer.momentum_ramp=0.5"
    )
    for progress, expected in [(0.0, 0.8), (0.25, 0.85), (0.5, 0.9), (1.0, 0.9)]:
        step(model, optimizer, 0, progress=progress)
        assert optimizer.muon.param_groups[0]["momentum"] == pytest.approx(expected)


def test_a_resumed_run_equals_an_unbroken_one_over_five_steps():
    unbroken, resumed = tiny_model(), tiny_model()
    first = optimizer_for(unbroken)
    for seed in range(5):
        step(unbroken, first, seed)
    second = optimizer_for(resumed)
    for seed in range(2):
        step(resumed, second, seed)
    third = optimizer_for(resumed)
    third.restore(second.state())
    for seed in range(2, 5):
        step(resumed, third, seed)
    for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
