import pytest
import torch

from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import added_parameters, assert_sound, context_of
from tests.helpers import tiny_model

G6 = "arch/addon=[gate_sparse]"


def test_g6_is_causal_compiles_and_trains():
    assert_sound(G6)


def test_g6_adds_96_parameters_a_layer_at_record():
    assert added_parameters(G6) == 9 * 96


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_g6_starts_at_one_half_and_alpha_scales_its_argument(alpha):
    gate = tiny_model(G6, f"arch.addons.gate_sparse.alpha={alpha}").addons.block_sites["2_0"]["heads"][0]
    y, v, h = torch.randn(2, 24, 2, 16), torch.randn(2, 24, 1, 16), torch.randn(2, 24, 32)
    assert torch.equal(gate(y, v, h, context_of()), 0.5 * y)
    torch.nn.init.normal_(gate.weight[1])
    out = gate(y, v, h, context_of())
    assert torch.equal(out[:, :, 0], 0.5 * y[:, :, 0])
    expected = torch.sigmoid(alpha * h[..., :12] @ gate.weight[1])
    torch.testing.assert_close(out[:, :, 1], expected[..., None] * y[:, :, 1])


def test_a_window_wider_than_the_model_is_refused():
    with pytest.raises(ConfigError, match=r"gate_sparse.window: 33 is out of range"):
        tiny_model(G6, "arch.addons.gate_sparse.window=33")
