"""The momentum ramp, the taper of the decay and the rate of later layers act; scalars without decay have none."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.optimizer.grouped import partition
from pgolf.run.rules import check
from tests.helpers import ids, randomise, tiny_model, tiny_settings


def optimizer_for(model, *words):
    return make(tiny_settings("optimizer.ns_dtype=float32", *words)["optimizer"], model=model)


def step(model, optimizer, seed, scale=1.0, progress=0.5):
    optimizer.zero_grad()
    model.loss(ids(seed=seed), ids(seed=seed + 100)).backward()
    optimizer.step(scale, progress)


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


def test_momentum_ramps_over_the_stated_fraction():
    model = tiny_model()
    optimizer = optimizer_for(
        model, "optimizer.momentum_start=0.8", "optimizer.momentum_end=0.9", "optimizer.momentum_ramp=0.5"
    )
    for progress, expected in [(0.0, 0.8), (0.25, 0.85), (0.5, 0.9), (1.0, 0.9)]:
        step(model, optimizer, 0, progress=progress)
        assert optimizer.muon.param_groups[0]["momentum"] == pytest.approx(expected)


def test_momentum_ramps_over_the_stated_steps_whatever_the_progress():
    model = tiny_model()
    words = ("optimizer.momentum_start=0.8", "optimizer.momentum_end=0.9", "optimizer.momentum_ramp_in=steps")
    optimizer = optimizer_for(model, *words, "optimizer.momentum_ramp=4")
    for expected in (0.8, 0.825, 0.85, 0.875, 0.9, 0.9):
        step(model, optimizer, 0, progress=1.0)
        assert optimizer.muon.param_groups[0]["momentum"] == pytest.approx(expected)
    (phase,) = optimizer.phases()
    assert phase.description == "momentum 0.8 → 0.9 over 4 steps"


def test_the_decay_of_the_matrices_tapers_to_its_factor():
    model = tiny_model()
    optimizer = optimizer_for(model, "optimizer.decay_taper_factor=0.5", "optimizer.decay_taper_from=0.6")
    for progress, expected in [(0.0, 0.04), (0.6, 0.04), (0.8, 0.03), (1.0, 0.02)]:
        step(model, optimizer, 0, progress=progress)
        assert optimizer.muon.param_groups[0]["weight_decay"] == pytest.approx(expected)
    assert [p.start for p in optimizer.phases()] == [0.0, 0.6]


def test_later_layers_step_by_their_factor_of_the_rate_whatever_their_gradient():
    """Twice the rate is twice the step; a gradient twice as large, which #1204 has instead, is the same step."""
    moved = []
    for words, factor in [((), 1.0), (("optimizer.late_factor=2.0",), 1.0), ((), 2.0)]:
        model = tiny_model("arch.layers=4")
        randomise(model)
        optimizer = optimizer_for(model, "optimizer.matrix_weight_decay=0.0", *words)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        model.loss(ids(seed=1), ids(seed=2)).backward()
        for name, spec in model.param_specs().items():
            if spec.group == "matrix" and spec.layer is not None and spec.layer >= 2:
                model.get_parameter(name).grad.mul_(factor)
        optimizer.step(1.0, 0.5)
        moved.append({name: p.detach() - before[name] for name, p in model.named_parameters()})
    plain, late, scaled = moved
    assert {g["name"] for g in optimizer.muon.param_groups} == {"matrix"}
    for name, spec in model.param_specs().items():
        if spec.group == "matrix":
            share = 2.0 if spec.layer is not None and spec.layer >= 2 else 1.0
            torch.testing.assert_close(late[name], share * plain[name], rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(scaled[name], plain[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("momentum_ramp=500",), "momentum_ramp: 500 is no fraction, which optimizer.momentum_ramp_in says"),
        (("momentum_ramp_in=steps",), "momentum_ramp: 0.1 is no step, which optimizer.momentum_ramp_in says"),
        (("decay_taper_factor=0.5", "decay_taper_from=1.0"), "decay_taper_factor: has no effect"),
        (("late_factor=0.5", "late_from=1.0"), "late_from: 1 of 2 layers leaves no matrix"),
    ],
)
def test_what_could_not_act_is_refused(words, text):
    with pytest.raises(ConfigError, match=text):
        optimizer_for(tiny_model("arch.layers=2"), *(f"optimizer.{word}" for word in words))


def test_it_is_refused_before_training():
    with pytest.raises(ConfigError, match="decay_taper_factor: has no effect"):
        check(tiny_settings("optimizer.decay_taper_factor=0.5", "optimizer.decay_taper_from=1.0"))


RECORDS = {  # matrix, embedding, scalar rate; their decays; momentum from, to; second beta (spec optimizer §1)
    "pr549": (0.025, 0.035, 0.025, 0.04, 0.04, 0.04, 0.92, 0.99, 0.95),
    "pr187": (0.025, 0.035, 0.025, 0.04, 0.04, 0.04, 0.92, 0.99, 0.95),
    "pr687": (0.025, 0.035, 0.025, 0.04, 0.04, 0.04, 0.92, 0.99, 0.95),
    "pr1026": (0.025, 0.035, 0.025, 0.04, 0.04, 0.04, 0.92, 0.99, 0.95),
    "pr1204": (0.03, 0.035, 0.025, 0.04, 0.04, 0.04, 0.92, 0.99, 0.95),
    "pr1218": (0.02, 0.03, 0.02, 0.085, 0.085, 0.02, 0.92, 0.99, 0.95),
    "pr1394": (0.02, 0.03, 0.02, 0.085, 0.085, 0.02, 0.92, 0.99, 0.95),
    "pr1855": (0.026, 0.03, 0.02, 0.095, 0.085, 0.02, 0.92, 0.97, 0.99),
}


@pytest.mark.parametrize("preset", RECORDS)
def test_presets_have_the_records_rates(preset):
    node = tiny_settings(f"optimizer={preset}")["optimizer"]
    keys = [f"{group}_{what}" for what in ("lr", "weight_decay") for group in ("matrix", "embedding", "scalar")]
    assert [node[key] for key in [*keys, "momentum_start", "momentum_end", "beta2"]] == list(RECORDS[preset])
    assert node["momentum_ramp"] == 1500 and node["momentum_ramp_in"] == "steps"
    parts = {"pr1394": "rows.RowNorms", "pr1855": "polar_express.PolarExpress"}
    assert parts.get(preset, "NewtonSchulz") in node["orthogonal"]["_target_"] + node["normalize"]["_target_"]
