"""Layer and kind of every parameter come from the model, so that nobody reads names."""

import re

import pytest

from pgolf.arch.untie import untie_recurrence
from pgolf.quant.tensor_info import tensor_infos
from tests.helpers import tiny_model


def specs(*words):
    return tiny_model(*words).param_specs()


@pytest.mark.parametrize("words", [(), ("arch=pr1204",), ("arch=mamba_hybrid",), ("arch=pr1855",)], ids=str)
def test_every_parameter_of_a_layer_knows_the_layer(words):
    found = specs(*words)
    for name, spec in found.items():
        parts = name.split(".")
        if parts[0] in ("layers", "own_mlps", "own_layers") or (parts[0] == "controls" and parts[1][0].isdigit()):
            assert spec.layer == int(parts[1].split("_")[0]), name
        elif parts[0] != "controls":
            assert spec.layer is None or str(spec.layer) in re.split(r"\D+", name), name
    assert {spec.layer for spec in found.values()} >= set(range(6))


def test_kinds_are_what_parts_call_their_matrices():
    found = specs()
    assert [found[f"layers.3.mixer.{kind}.weight"].kind for kind in "qkv"] == ["q", "k", "v"]
    assert {spec.kind for spec in found.values() if spec.component == "mlp"} == {"up", "down"}
    assert found["embedding"].kind == "embedding"
    assert found["controls.0_0.mlp_scale"].kind == "mlp_scale"


def test_the_mlp_of_a_repeated_visit_counts_as_its_layers():
    found = specs("arch=parallel_recur", "arch.recurrence.untie_mlp=full")
    assert [found[f"own_mlps.{i}_1.down.weight"].layer for i in (2, 3)] == [2, 3]


def test_what_two_layers_share_belongs_to_the_first():
    found = specs("arch=parallel_recur", "arch.recurrence.untie_mlp=down")
    assert "own_mlps.2_1.up.weight" not in found
    assert found["layers.2.mlp.up.weight"].layer == found["own_mlps.2_1.down.weight"].layer == 2


def test_an_untied_layer_counts_as_the_one_it_was_copied_from():
    model = tiny_model("arch=pr860")
    model.use(list(model.routes)[-1])
    untie_recurrence(model)
    found = model.param_specs()
    assert [found[f"own_layers.{i}_1.mixer.q.weight"].layer for i in (2, 3)] == [2, 3]


def test_the_number_of_layers_is_that_of_the_model():
    model = tiny_model("arch.layers=7")
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    infos = tensor_infos(model.param_specs(), shapes)
    assert {info.layers for info in infos} == {7}
    assert [info.name for info in infos] == sorted(shapes)
    (up,) = (info for info in infos if info.name == "layers.6.mlp.up.weight")
    assert (up.layer, up.elements) == (6, 64 * 32)
