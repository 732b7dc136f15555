"""The gated MLP: two thirds of the hidden units, as many weights."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.core.errors import ConfigError
from tests.arch.option_claims import assert_option_is_sound, parameters, record_model
from tests.helpers import tiny_model

WORDS = ("arch/mlp=gated",)


def test_the_squared_gate_multiplies_the_value():
    mlp = tiny_model(*WORDS).layers[0].mlp
    torch.nn.init.normal_(mlp.down.weight)
    h = torch.randn(2, 3, 32)
    gate, value = h @ mlp.gate.weight.T, h @ mlp.value.weight.T
    torch.testing.assert_close(mlp(h), (F.leaky_relu(gate, 0.5) ** 2 * value) @ mlp.down.weight.T)


def test_the_hidden_size_is_two_thirds_rounded_down():
    assert tiny_model(*WORDS).layers[0].mlp.down.weight.shape == (32, 42)  # of 64
    assert record_model(*WORDS).layers[0].mlp.down.weight.shape == (512, 1024)  # of 1,536


def test_at_record_size_it_has_the_weights_of_the_plain_one():
    assert parameters(record_model(*WORDS).layers[0].mlp) == parameters(record_model().layers[0].mlp)


def test_one_hidden_unit_is_too_few():
    with pytest.raises(ConfigError, match=r"arch\.mlp_hidden: 1 leaves"):
        tiny_model(*WORDS, "arch.mlp_hidden=1")


def test_it_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS)
