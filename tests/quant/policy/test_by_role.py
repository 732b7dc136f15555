"""Bits by storage role, and by component where listed."""

import pytest

from pgolf.core.errors import ConfigError
from pgolf.quant.tensor_info import Treatment
from tests.quant.nodes import policy
from tests.quant.policy.models import infos


def test_matrices_and_embeddings_get_the_quantizers_bits():
    found = policy("by_role", bits=5).treatments(infos(), None)
    assert found["layers.0.mlp.up.weight"] == found["layers.0.mixer.q.weight"] == Treatment("grid", 5)
    assert found["embedding"] == Treatment("grid", 8)


def test_a_component_can_have_bits_of_its_own():
    found = policy("by_role", bits=5, component_bits={"attention": 6}).treatments(infos(), None)
    assert {t.bits for name, t in found.items() if ".mixer." in name} == {6}
    assert {t.bits for name, t in found.items() if "mlp.up" in name or "mlp.down" in name} == {5}


def test_an_unknown_component_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match=r"component_bits\.atention.*attention, mlp"):
        policy("by_role", component_bits={"atention": 6}).treatments(infos(), None)


@pytest.mark.parametrize("bits", [1, 9, 5.5, True])
def test_bits_of_a_component_are_held_to_the_grid(bits):
    with pytest.raises(ConfigError, match=r"component_bits\.mlp"):
        policy("by_role", component_bits={"mlp": bits})


def test_late_k_and_gate8_are_presets_of_it():
    assert policy("late_k").late_k_layers == 2 and policy("gate8").gate_bits == 8
