import torch

from tests.arch.addon.checks import added_parameters, assert_sound, context_of
from tests.helpers import tiny_model

G3 = "arch/addon=[gate_linear]"


def test_g3_is_causal_compiles_and_trains():
    assert_sound(G3)


def test_g3_adds_4104_parameters_a_layer_at_record():
    assert added_parameters(G3) == 9 * 4104


def test_g3_starts_at_0_982_and_opens_by_its_input():
    gate = tiny_model(G3).addons.block_sites["2_0"]["heads"][0]
    y, v, h = torch.randn(2, 24, 2, 16), torch.randn(2, 24, 1, 16), torch.randn(2, 24, 32)
    torch.testing.assert_close(gate(y, v, h, context_of()), 0.98201379 * y)
    torch.nn.init.normal_(gate.weight)
    expected = torch.sigmoid(h @ gate.weight.T + 4.0)
    torch.testing.assert_close(gate(y, v, h, context_of()), expected[..., None] * y)


def test_the_gate_of_a_head_changes_only_its_slice():
    gate = tiny_model(G3).addons.block_sites["2_0"]["heads"][0]
    y, v, h = torch.randn(2, 24, 2, 16), torch.randn(2, 24, 1, 16), torch.randn(2, 24, 32)
    first = gate(y, v, h, context_of())
    torch.nn.init.normal_(gate.weight[1])
    second = gate(y, v, h, context_of())
    assert torch.equal(second[:, :, 0], first[:, :, 0]) and not torch.equal(second[:, :, 1], first[:, :, 1])
