"""The tanh form lies between the identity and rounding, and is the spec's formula number for number."""

import pytest
import torch

from pgolf.qat.grid_plan import row_grids
from pgolf.qat.hardening import soften
from pgolf.qat.soft_round import SoftRound
from pgolf.quant.grid import qmax
from tests.helpers import tiny_model
from tests.qat.qats import quantizer

NAME = "layers.0.mlp.up.weight"


@pytest.fixture
def grid():
    words = ("quant=int5_rtn", "quant.scale.percentile=1.0")
    return row_grids(quantizer(*words), tiny_model(), "soft_round")[NAME]


def weights():
    return torch.randn(40, 30, generator=torch.Generator().manual_seed(3))


def soft(grid, alpha, weight):
    return soften(SoftRound.curve, grid, torch.tensor(float(alpha)), weight)


def test_the_curve_is_the_formula_number_for_number():
    # alpha 2, y 0.75: r = 1/4; 1/2 + tanh(1/2)/(2·tanh(1)) = 0.5 + 0.462117/1.523188 = 0.803388
    # derivative (1 - tanh(1/2)²)/tanh(1) = 0.786448/0.761594 = 1.032634; y -1.25 lies at 3/4 between -2 and -1
    value, slope = SoftRound.curve(torch.tensor([0.75, -1.25, 0.5, 2.0]), torch.tensor(2.0))
    torch.testing.assert_close(value, torch.tensor([0.803388, -1.196612, 0.5, 2.0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(slope[:2], torch.tensor([1.032634, 1.032634]), rtol=0, atol=1e-6)


def test_weights_are_drawn_to_their_rows_grid(grid):
    # int5, row maximum 15/8: the step is 1/8
    value, _ = soft(grid, 2.0, torch.tensor([[15 / 8, 0.75 / 8, -1.25 / 8]]))
    torch.testing.assert_close(value, torch.tensor([[15.0, 0.803388, -1.196612]]) / 8, rtol=0, atol=1e-6)


def test_a_vanishing_alpha_is_the_identity(grid):
    value, slope = soft(grid, 1e-2, weights())
    inside = weights().abs() < qmax(5) * grid.scale(weights()).float()[:, None]
    torch.testing.assert_close(value[inside], weights()[inside], rtol=0, atol=1e-5)
    torch.testing.assert_close(slope, torch.ones_like(slope), rtol=0, atol=1e-4)


@pytest.mark.parametrize("alpha", [1.0, 4.0, 16.0])
def test_value_and_slope_are_the_formula_and_its_derivative(grid, alpha):
    weight = weights().double().requires_grad_()
    scale = grid.scale(weights()).double()[:, None]
    y = weight / scale
    r = y - y.floor() - 0.5
    expected = scale * (y.floor() + 0.5 + 0.5 * torch.tanh(alpha * r) / torch.tanh(torch.tensor(alpha / 2).double()))
    (derivative,) = torch.autograd.grad(expected.sum(), weight)
    value, slope = soft(grid, alpha, weights())
    inside = y.abs() < qmax(5)
    torch.testing.assert_close(value[inside], expected[inside].float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(slope[inside], derivative[inside].float(), rtol=1e-3, atol=1e-3)
