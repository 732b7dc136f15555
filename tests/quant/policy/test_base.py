"""What every policy does: storage roles, then its own rule, then the exceptions."""

import pytest

from pgolf.core.errors import ConfigError
from pgolf.quant.tensor_info import Treatment, layer_of
from tests.quant.nodes import policy
from tests.quant.policy.models import facts

OPTIONS = ["by_role", "int6_last_n", "error_per_byte"]


def treatments(option="by_role", model=None, **changes):
    return policy(option, **changes).treatments(facts(**(model or {})), None)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_tensor_is_treated(option):
    found = treatments(option)
    assert found.keys() == {f.name for f in facts()}
    assert found["controls.0_0.mlp_scale"] == Treatment("fp32")
    assert found["embedding"] == Treatment("grid", 8)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("layers", [4, 7])
def test_late_keys_are_counted_from_the_number_of_layers(option, layers):
    found = treatments(option, {"layers": layers}, late_k_layers=2)
    halves = [name for name, treatment in found.items() if treatment.scheme == "fp16"]
    assert halves == [f"layers.{i}.mixer.k.weight" for i in (layers - 2, layers - 1)]


def test_late_keys_that_do_not_exist_are_an_error():
    with pytest.raises(ConfigError, match=r"late_k_layers: the last 1 of 4.*have one: 0, 1$"):
        treatments(model={"without_attention": (2, 3)}, late_k_layers=1)


def test_late_keys_are_no_candidates_for_promotion():
    found = treatments("int6_last_n", last=4, late_k_layers=4)
    assert {t.scheme for name, t in found.items() if ".mixer.k." in name} == {"fp16"}


def test_the_embedding_can_stay_float16():
    assert treatments(embedding="fp16")["embedding"] == Treatment("fp16")


def test_gate_matrices_go_on_the_grid_and_their_biases_stay():
    found = treatments(model={"gates": True}, gate_bits=8)
    assert found["addons.block_sites.0_0.heads.0.weight"] == Treatment("grid", 8)
    assert found["addons.block_sites.0_0.heads.0.bias"] == Treatment("fp32")
    assert treatments(model={"gates": True})["addons.block_sites.0_0.heads.0.weight"] == Treatment("fp16")


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("layers.3.mlp.up.weight", 3),
        ("layers.11.mixer.k.weight", 11),
        ("own_mlps.2_1.down.weight", 2),
        ("own_layers.2_1.mixer.q.weight", 2),
        ("embedding", None),
        ("addons.block_sites.0_0.heads.0.weight", None),
    ],
)
def test_the_layer_is_read_from_the_name(name, layer):
    assert layer_of(name) == layer
