import pytest
import torch

from pgolf.arch.addon.gate_static import ProjectedGate, StaticGate
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import added_parameters, assert_sound, context_of, twins
from tests.helpers import ids, tiny_model

G1 = "arch/addon=[gate_static]"
POST = "arch.addons.gate_static.post_proj=true"


@pytest.mark.parametrize("words", [(G1,), (G1, POST)], ids=["heads", "post_proj"])
def test_g1_is_causal_compiles_and_trains(words):
    assert_sound(*words)


@pytest.mark.parametrize("words", [(G1,), (G1, POST)], ids=["heads", "post_proj"])
def test_g1_adds_eight_parameters_a_layer_at_record(words):
    assert added_parameters(*words) == 9 * 8


@pytest.mark.parametrize("words", [(G1,), (G1, POST)], ids=["heads", "post_proj"])
def test_g1_is_the_identity_at_the_start(words):
    plain, gated = twins(*words)
    assert torch.equal(plain.logits(ids()), gated.logits(ids()))


def test_the_gate_of_a_head_changes_only_its_slice():
    model = tiny_model(G1)
    gate = model.addons.block_sites["2_0"]["heads"][0]
    assert isinstance(gate, StaticGate)
    with torch.no_grad():
        gate.gamma[1] = 3.0
    y, v, h = torch.randn(2, 24, 2, 16), torch.randn(2, 24, 1, 16), torch.randn(2, 24, 32)
    out = gate(y, v, h, context_of())
    assert torch.equal(out[:, :, 0], y[:, :, 0]) and torch.equal(out[:, :, 1], 3.0 * y[:, :, 1])


def test_after_the_projection_the_gate_acts_on_groups_of_a_heads_width():
    model = tiny_model(G1, POST)
    sites = model.addons.block_sites["2_0"]
    assert not sites["heads"]
    (gate,) = sites["attention_out"]
    assert isinstance(gate, ProjectedGate)
    with torch.no_grad():
        gate.gamma[1] = 3.0
    y = torch.randn(2, 24, 32)
    out = gate(y, context_of())
    assert torch.equal(out[..., :16], y[..., :16]) and torch.equal(out[..., 16:], 3.0 * y[..., 16:])


def test_layers_without_attention_have_no_gate():
    model = tiny_model(G1, "arch.no_attention=[0]")
    assert not model.addons.block_sites["0_0"]["heads"] and model.addons.block_sites["1_0"]["heads"]


def test_a_gate_without_any_attention_is_refused():
    with pytest.raises(ConfigError, match="no layer has attention"):
        tiny_model(G1, "arch.no_attention=[0,1,2,3,4,5]")


def test_gates_act_after_xsa():
    model = tiny_model("arch/addon=[gate_static,xsa]")
    names = [type(part).__name__ for part in model.addons.block_sites["1_0"]["heads"]]
    assert names == ["ExclusiveSelfAttention", "StaticGate"]
