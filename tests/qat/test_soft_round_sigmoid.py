"""#1204's form is its formula number for number, and not the tanh form."""

import pytest
import torch

from pgolf.qat.grid_plan import row_grids
from pgolf.qat.hardening import soften
from pgolf.qat.soft_round import SoftRound
from pgolf.qat.soft_round_sigmoid import SoftRoundSigmoid
from tests.helpers import tiny_model
from tests.qat.qats import quantizer


def curve(alpha, *y):
    return SoftRoundSigmoid.curve(torch.tensor(y), torch.tensor(float(alpha)))


def test_the_curve_is_the_formula_number_for_number():
    # alpha 2, y 0.75: sigmoid(2·1/4) = 1/(1 + e^-0.5) = 0.622459; derivative 2·0.622459·0.377541 = 0.470007
    # y -1.25: -2 + 0.622459; y 3.0: 3 + sigmoid(-1) = 3.268941, derivative 2·0.268941·0.731059 = 0.393224
    value, slope = curve(2, 0.75, -1.25, 3.0)
    torch.testing.assert_close(value, torch.tensor([0.622459, -1.377541, 3.268941]), rtol=0, atol=1e-6)
    torch.testing.assert_close(slope, torch.tensor([0.470007, 0.470007, 0.393224]), rtol=0, atol=1e-6)


def test_weights_are_drawn_to_their_rows_grid_and_clipped_at_its_end():
    # int5, row maximum 15/8: the step is 1/8; 15 + sigmoid(-1) is beyond the last code
    words = ("quant=int5_rtn", "quant.scale.percentile=1.0")
    grid = row_grids(quantizer(*words), tiny_model(), "soft_round_sigmoid")["layers.0.mlp.up.weight"]
    weight = torch.tensor([[15 / 8, 0.75 / 8, -1.25 / 8]])
    value, _ = soften(SoftRoundSigmoid.curve, grid, torch.tensor(2.0), weight)
    torch.testing.assert_close(value, torch.tensor([[15.0, 0.622459, -1.377541]]) / 8, rtol=0, atol=1e-6)


def test_a_vanishing_alpha_is_the_middle_between_grid_points_not_the_identity():
    value, slope = curve(1e-4, 0.1, 0.9, -0.3)
    torch.testing.assert_close(value, torch.tensor([0.5, 0.5, -0.5]), rtol=0, atol=1e-4)
    assert bool((slope < 1e-4).all())


@pytest.mark.parametrize(("alpha", "jump"), [(1.0, 0.755081), (16.0, 0.000671)])
def test_it_jumps_at_grid_points(alpha, jump):
    # from 1 + sigmoid(alpha/2) to 2 + sigmoid(-alpha/2): 2·sigmoid(-alpha/2) up
    value, _ = curve(alpha, 2 - 1e-6, 2.0)
    assert value.diff().item() == pytest.approx(jump, abs=1e-5)


def test_it_is_the_tanh_form_of_half_the_alpha_without_its_stretch():
    y, alpha = torch.linspace(-2.9, 2.9, 59), torch.tensor(4.0)
    stretched, _ = SoftRound.curve(y, alpha / 2)
    below = y.floor() + 0.5
    torch.testing.assert_close(curve(alpha, *y.tolist())[0], below + (stretched - below) * torch.tanh(alpha / 4))
