import torch

from tests.arch.addon.checks import added_parameters, assert_sound, context_of
from tests.helpers import tiny_model

G2 = "arch/addon=[gate_sigmoid]"


def test_g2_is_causal_compiles_and_trains():
    assert_sound(G2)


def test_g2_adds_eight_parameters_a_layer_at_record():
    assert added_parameters(G2) == 9 * 8


def test_g2_starts_at_0_731_and_the_gate_of_a_head_changes_only_its_slice():
    gate = tiny_model(G2).addons.block_sites["2_0"]["heads"][0]
    y, v, h = torch.randn(2, 24, 2, 16), torch.randn(2, 24, 1, 16), torch.randn(2, 24, 32)
    first = gate(y, v, h, context_of())
    torch.testing.assert_close(first, 0.7310586 * y)
    with torch.no_grad():
        gate.gamma[1] = 100.0
    second = gate(y, v, h, context_of())
    assert torch.equal(second[:, :, 0], first[:, :, 0]) and torch.equal(second[:, :, 1], y[:, :, 1])
