import pytest
import torch

from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import added_parameters, assert_sound
from tests.helpers import tiny_model

GATED = "arch/addon=[skip_gate]"


def gate_of(model):
    (gate,) = model.addons.model_sites["skip"]
    return gate


def test_skip_gate_is_causal_compiles_and_trains():
    assert_sound(GATED)


def test_skip_gate_adds_a_vector_for_each_skip():
    assert added_parameters(GATED) == 4 * 512


def test_skip_gate_starts_as_an_even_blend():
    gate = gate_of(tiny_model(GATED))
    x, skip = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    torch.testing.assert_close(gate(x, skip, 1), 0.5 * (x + skip))


def test_a_closed_gate_leaves_the_weighted_skip_and_an_open_one_the_stream():
    model = tiny_model(GATED)
    gate = gate_of(model)
    x, skip = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    torch.nn.init.normal_(model.skip_weights)
    visit = model.routes["plain"].visits[4]
    with torch.no_grad():
        gate.gamma.fill_(-1e4)
        (closed,) = model._skip((x,), skip, 1, visit)
        gate.gamma.fill_(1e4)
        (opened,) = model._skip((x,), skip, 1, visit)
    assert torch.equal(closed, model.skip_weights[1] * skip) and torch.equal(opened, x)


def test_each_skip_has_its_own_gate():
    gate = gate_of(tiny_model(GATED))
    with torch.no_grad():
        gate.gamma[2] = 1e4
    x, skip = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    assert torch.equal(gate(x, skip, 2), x) and not torch.equal(gate(x, skip, 1), x)


def test_a_model_without_skips_is_refused():
    with pytest.raises(ConfigError, match="no skips to gate"):
        tiny_model(GATED, "arch.layers=1")
