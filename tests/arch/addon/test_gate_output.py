import pytest
import torch

from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import added_parameters, assert_sound, context_of, twins
from tests.helpers import ids, tiny_model

G5 = "arch/addon=[gate_output]"


def test_g5_is_causal_compiles_and_trains():
    assert_sound(G5)


def test_g5_adds_96_parameters_a_layer_at_record():
    assert added_parameters(G5) == 9 * 96


def test_g5_is_the_identity_at_the_start():
    plain, gated = twins(G5)
    assert torch.equal(plain.logits(ids()), gated.logits(ids()))


def test_g5_reads_its_window_and_the_gate_of_a_head_changes_only_its_slice():
    gate = tiny_model(G5).addons.block_sites["2_0"]["heads"][0]
    y, v, h = torch.randn(2, 24, 2, 16), torch.randn(2, 24, 1, 16), torch.randn(2, 24, 32)
    torch.nn.init.normal_(gate.weight[1])
    out = gate(y, v, h, context_of())
    assert torch.equal(out[:, :, 0], y[:, :, 0])
    expected = 2 * torch.sigmoid(h[..., :12] @ gate.weight[1])
    torch.testing.assert_close(out[:, :, 1], expected[..., None] * y[:, :, 1])


def test_a_window_wider_than_the_model_is_refused():
    with pytest.raises(ConfigError, match=r"gate_output.window: 33 is out of range: from 1 to .* 32"):
        tiny_model(G5, "arch.addons.gate_output.window=33")
    tiny_model(G5, "arch.addons.gate_output.window=32")
