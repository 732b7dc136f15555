"""The squared leaky ReLU; slope 0 is relu², and no unit is dead."""

import torch

from tests.arch.option_claims import (
    assert_option_is_sound,
    gradients_after_one_step,
    parameters,
    record_model,
)
from tests.helpers import tiny_model

WORDS = ("arch/mlp=leaky_relu2",)


def test_slope_zero_reproduces_relu2():
    leaky, plain = tiny_model(*WORDS, "arch.mlp.slope=0").layers[0].mlp, tiny_model().layers[0].mlp
    torch.nn.init.normal_(plain.down.weight)
    leaky.load_state_dict(plain.state_dict())
    h = torch.randn(2, 3, 32)
    torch.testing.assert_close(leaky(h), plain(h))


def test_below_zero_the_hidden_unit_is_the_square_of_its_share():
    mlp = tiny_model(*WORDS).layers[0].mlp
    torch.nn.init.normal_(mlp.down.weight)
    h = torch.randn(2, 3, 32)
    up = h @ mlp.up.weight.T
    expected = torch.where(up > 0, up * up, 0.25 * up * up) @ mlp.down.weight.T
    torch.testing.assert_close(mlp(h), expected)


def test_every_hidden_unit_has_a_gradient_after_one_step():
    grad = gradients_after_one_step(tiny_model(*WORDS))["layers.0.mlp.up.weight"]
    assert grad.any(1).all()


def test_it_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS)


def test_it_costs_no_parameter():
    assert parameters(record_model(*WORDS)) == parameters(record_model())
