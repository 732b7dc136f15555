"""What holds for every soft rounding: it rounds in the end, stays on the grid, and hardens as the rate falls."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.qat.grid_plan import row_grids
from pgolf.qat.hardening import soften
from pgolf.qat.soft_round import SoftRound
from pgolf.qat.soft_round_sigmoid import SoftRoundSigmoid
from pgolf.quant.grid import qmax
from tests.helpers import randomise, tiny_model
from tests.qat.qats import FALLING, batch, gradients, quantizer, training
from tests.train.rig import warmdown

NAME = "layers.0.mlp.up.weight"

both = pytest.mark.parametrize("option", [SoftRound, SoftRoundSigmoid])


def grid(*words):
    return row_grids(quantizer("quant=int5_rtn", *words), tiny_model(), "soft_round")[NAME]


def weights():
    return torch.randn(40, 30, generator=torch.Generator().manual_seed(3))


def soft(option, alpha, weight, *words):
    return soften(option.curve, grid(*words), torch.tensor(float(alpha)), weight)


def full(option):
    return option(start=0.0, start_lr_scale=None, alpha_start=1.0, alpha_end=16.0)


@both
def test_a_large_alpha_rounds(option):
    value, _ = soft(option, 1e6, weights())
    torch.testing.assert_close(value, grid().round(weights())[0], rtol=0, atol=1e-5)


@both
@pytest.mark.parametrize("alpha", [1.0, 4.0, 16.0])
def test_it_never_turns_back_and_stays_on_the_grid(option, alpha):
    line = torch.linspace(-1, 1, 40_001)[None]
    value, slope = soft(option, alpha, line)
    top = qmax(5) * grid().scale(line).float()[:, None]
    assert bool((value.diff() >= -1e-6).all()) and bool((slope >= 0).all()) and bool((value.abs() <= top).all())


@both
@pytest.mark.parametrize("alpha", [1.0, 4.0, 16.0])
def test_the_slope_is_the_curves_derivative(option, alpha):
    y = torch.linspace(-3, 3, 1001, dtype=torch.float64) + 1e-3  # clear of whole numbers
    alpha = torch.tensor(alpha, dtype=torch.float64)
    _, slope = option.curve(y, alpha)
    h = 1e-6
    numeric = (option.curve(y + h, alpha)[0] - option.curve(y - h, alpha)[0]) / (2 * h)
    torch.testing.assert_close(slope, numeric, rtol=1e-6, atol=1e-6)


@both
def test_nothing_flows_where_the_code_is_clipped(option):
    words = ("quant.scale.percentile=0.9",)
    outside = weights().abs() > (qmax(5) + 0.5) * grid(*words).scale(weights()).float()[:, None]
    _, slope = soft(option, 2.0, weights(), *words)
    assert bool(outside.any()) and not bool(slope[outside].any()) and bool((slope[~outside] > 0).all())


@both
def test_alpha_follows_the_rate_from_the_start_on(option):
    method = option(start=None, start_lr_scale=0.5, alpha_start=1.0, alpha_end=16.0)
    trainer, watch = training(method, steps=8)
    seen = []
    *_, switch, _ = trainer.hooks
    follow = switch._follow
    alpha = next(iter(watch.loss.replacements.values())).args[2]
    switch._follow = lambda lr_scale: (follow(lr_scale), seen.append((lr_scale, float(alpha))))
    trainer.fit()
    # eight steps whose rates fall from 1 by an eighth each
    assert watch.said == [("enabled", 5, 0.375)]
    assert seen == [(0.375, 1 + 15 * 0.25), (0.25, 1 + 15 * 0.5), (0.125, 1 + 15 * 0.75)]


@pytest.mark.parametrize("option", [SoftRound, pytest.param(SoftRoundSigmoid, marks=pytest.mark.slow)])
def test_the_compiled_loss_and_its_gradient_follow_alpha_without_another_graph(option):
    torch._dynamo.reset()
    model = tiny_model("arch.layers=2")
    randomise(model)
    found = full(option).prepare(model, quantizer(), FALLING)
    found.loss.compile_model_part(lambda part: torch.compile(part, fullgraph=True, backend="aot_eager", dynamic=False))
    (switch,) = found.hooks
    losses = [found.loss(*batch())]
    gradients(model, losses[0])
    found.loss.turn_on()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for lr_scale in (1.0, 0.5, 0.0):
            switch._follow(lr_scale)
            losses.append(found.loss(*batch()))
            assert all(g.isfinite().all() for g in gradients(model, losses[-1]).values())
    assert len({loss.item() for loss in losses}) == 4


@both
def test_a_rate_that_does_not_fall_after_the_start_is_refused(option):
    method = option(start=0.5, start_lr_scale=None, alpha_start=1.0, alpha_end=16.0)
    with pytest.raises(ConfigError, match="alpha follows the learning rate"):
        method.prepare(tiny_model(), quantizer(), warmdown(0.0, 1.0))


@both
def test_it_names_itself_where_there_is_no_integer_grid(option):
    with pytest.raises(ConfigError, match=f"qat={option.word} needs an integer grid"):
        full(option).prepare(tiny_model(), quantizer("quant=ternary"), FALLING)
