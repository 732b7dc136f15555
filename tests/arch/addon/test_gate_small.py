import torch

from tests.arch.addon.checks import added_parameters, assert_sound, context_of
from tests.helpers import tiny_model

G4 = "arch/addon=[gate_small]"


def test_g4_is_causal_compiles_and_trains():
    assert_sound(G4)


def test_g4_adds_4096_parameters_a_layer_at_record():
    assert added_parameters(G4) == 9 * 4096


def test_g4_starts_near_one_half_with_small_random_weights():
    model = tiny_model(G4, "size.width=512", "size.heads=8", "size.kv_heads=4")
    gate = model.addons.block_sites["2_0"]["heads"][0]
    assert abs(gate.weight.std().item() - 0.01) < 5e-4
    opened = gate.gate(torch.randn(2, 24, 512))
    assert opened.shape == (2, 24, 8) and 0 < (opened - 0.5).abs().max() < 0.3


def test_the_gate_of_a_head_changes_only_its_slice():
    gate = tiny_model(G4).addons.block_sites["2_0"]["heads"][0]
    y, v, h = torch.randn(2, 24, 2, 16), torch.randn(2, 24, 1, 16), torch.randn(2, 24, 32)
    first = gate(y, v, h, context_of())
    torch.nn.init.normal_(gate.weight[0])
    second = gate(y, v, h, context_of())
    assert torch.equal(second[:, :, 1], first[:, :, 1]) and not torch.equal(second[:, :, 0], first[:, :, 0])
