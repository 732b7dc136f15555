"""What every policy does: storage roles, then its own rule, then the exceptions."""

import pytest

from pgolf.core.errors import ConfigError
from pgolf.quant.tensor_info import Treatment
from tests.quant.nodes import policy
from tests.quant.policy.models import infos, infos_of

OPTIONS = ["by_role", "int6_last_n", "error_per_byte"]


def treatments(option="by_role", words=(), **changes):
    return policy(option, **changes).treatments(infos(*words), None)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_tensor_is_treated(option):
    found = treatments(option)
    assert found.keys() == {info.name for info in infos()}
    assert found["controls.0_0.mlp_scale"] == Treatment("fp32")
    assert found["embedding"] == Treatment("grid", 8)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("layers", [6, 7])
def test_late_keys_are_counted_from_the_number_of_layers(option, layers):
    found = treatments(option, (f"arch.layers={layers}",), late_k_layers=2)
    halves = [name for name, treatment in found.items() if treatment.scheme == "fp16"]
    assert halves == [f"layers.{i}.mixer.k.weight" for i in (layers - 2, layers - 1)]


def test_late_keys_that_do_not_exist_are_an_error():
    hybrid = infos_of("arch=mamba_hybrid", "arch.attention_layers=[0,1]")
    with pytest.raises(ConfigError, match=r"late_k_layers: the last 1 of 6.*have one: 0, 1$"):
        policy("by_role", late_k_layers=1).treatments(hybrid, None)


def test_late_keys_are_no_candidates_for_promotion():
    found = treatments("int6_last_n", last=6, late_k_layers=6)
    assert {t.scheme for name, t in found.items() if ".mixer.k." in name} == {"fp16"}


def test_the_embedding_can_stay_float16():
    assert treatments(embedding="fp16")["embedding"] == Treatment("fp16")


def test_gate_matrices_go_on_the_grid_and_their_biases_stay():
    gated, gate = ("arch/addon=[gate_linear]",), "addons.parts.gate_linear_0_0"
    found = treatments(words=gated, gate_bits=8)
    assert found[f"{gate}.weight"] == Treatment("grid", 8, to_row_maximum=True)
    assert found[f"{gate}.bias"] == Treatment("fp32")
    assert treatments(words=gated)[f"{gate}.weight"] == Treatment("fp16")
