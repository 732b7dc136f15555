"""Soft rounding lies between the identity and rounding, never turns back, and hardens as the rate falls."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.qat.grid_plan import row_grids
from pgolf.qat.soft_round import SoftRound, soft_round
from pgolf.quant.grid import qmax
from pgolf.schedule.warmdown import Warmdown
from tests.helpers import randomise, tiny_model
from tests.qat.qats import FALLING, batch, gradients, quantizer, training

NAME = "layers.0.mlp.up.weight"


@pytest.fixture
def grid():
    return row_grids(quantizer("quant=int5_rtn"), tiny_model(), "soft_round")[NAME]


def weights():
    return torch.randn(40, 30, generator=torch.Generator().manual_seed(3))


def soft(grid, alpha, weight):
    return soft_round(grid, torch.tensor(float(alpha)), weight)


def test_a_vanishing_alpha_is_the_identity(grid):
    value, slope = soft(grid, 1e-2, weights())
    inside = weights().abs() < qmax(5) * grid.scale(weights()).float()[:, None]
    torch.testing.assert_close(value[inside], weights()[inside], rtol=0, atol=1e-5)
    torch.testing.assert_close(slope, torch.ones_like(slope), rtol=0, atol=1e-4)


def test_a_large_alpha_rounds(grid):
    value, _ = soft(grid, 1e4, weights())
    torch.testing.assert_close(value, grid.round(weights())[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 4.0, 16.0])
def test_it_never_turns_back_and_stays_on_the_grid(grid, alpha):
    line = torch.linspace(-1, 1, 40_001)[None]
    value, slope = soft(grid, alpha, line)
    top = qmax(5) * grid.scale(line).float()[:, None]
    assert (
        bool((value.diff() >= -1e-6).all()) and bool((slope >= 0).all()) and bool((value.abs() <= top).all())
    )


@pytest.mark.parametrize("alpha", [1.0, 4.0, 16.0])
def test_value_and_slope_are_the_formula_and_its_derivative(grid, alpha):
    weight = weights().double().requires_grad_()
    scale = grid.scale(weights()).double()[:, None]
    y = weight / scale
    r = y - y.floor() - 0.5
    expected = scale * (
        y.floor() + 0.5 + 0.5 * torch.tanh(alpha * r) / torch.tanh(torch.tensor(alpha / 2).double())
    )
    (derivative,) = torch.autograd.grad(expected.sum(), weight)
    value, slope = soft(grid, alpha, weights())
    inside = y.abs() < qmax(5)
    torch.testing.assert_close(value[inside], expected[inside].float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(slope[inside], derivative[inside].float(), rtol=1e-3, atol=1e-3)


def test_nothing_flows_where_the_code_is_clipped():
    words = ("quant=int5_rtn", "quant.scale.percentile=0.9")
    grid = row_grids(quantizer(*words), tiny_model(), "soft_round")[NAME]
    outside = weights().abs() > (qmax(5) + 0.5) * grid.scale(weights()).float()[:, None]
    _, slope = soft(grid, 2.0, weights())
    assert bool(outside.any()) and not bool(slope[outside].any())


def test_alpha_follows_the_rate_from_the_start_on():
    device = SoftRound(start=None, start_lr_scale=0.5, alpha_start=1.0, alpha_end=16.0)
    trainer, watch = training(device, steps=8)
    seen = []
    *_, switch, _ = trainer.hooks
    follow = switch._follow
    alpha = next(iter(watch.loss.replacements.values())).args[1]
    switch._follow = lambda lr_scale: (follow(lr_scale), seen.append((lr_scale, float(alpha))))
    trainer.fit()
    # eight steps whose rates fall from 1 by an eighth each
    assert watch.said == [("enabled", 5, 0.375)]
    assert seen == [(0.375, 1 + 15 * 0.25), (0.25, 1 + 15 * 0.5), (0.125, 1 + 15 * 0.75)]


def test_the_loss_and_its_gradient_follow_alpha():
    model = tiny_model()
    randomise(model)
    device = SoftRound(start=0.0, start_lr_scale=None, alpha_start=1.0, alpha_end=16.0)
    found = device.prepare(model, quantizer(), FALLING)
    found.loss.turn_on()
    (switch,) = found.hooks
    losses = []
    for lr_scale in (1.0, 0.5, 0.0):
        switch._follow(lr_scale)
        losses.append(found.loss(*batch()))
    assert len({loss.item() for loss in losses}) == 3
    assert all(g.isfinite().all() for g in gradients(model, losses[-1]).values())


def test_a_rate_that_does_not_fall_after_the_start_is_refused():
    device = SoftRound(start=0.5, start_lr_scale=None, alpha_start=1.0, alpha_end=16.0)
    with pytest.raises(ConfigError, match="alpha follows the learning rate"):
        device.prepare(tiny_model(), quantizer(), Warmdown(fraction=0.0, floor=1.0))
