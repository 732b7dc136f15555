"""Value embeddings reach the listed visits only, once per forward pass, wherever recurrence puts them."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.addon.value_embedding import ValueFeed, ValueTable
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model

WORD = "arch/addon=[value_embedding]"
NODE = "arch.addons.value_embedding"
INDICES = ("virtual", "physical")


MINI = "arch/recurrence=mini"  # visits layers 2 and 3 once more after its activation


def fed_layers(model):
    """(physical, visit) of every visit whose values change when the projected rows do."""
    found = []
    for visit in model.routes[model.active].visits:
        for part in model.addons.block_sites[visit.key]["value"]:
            context = type("C", (), {"visit": visit, "shared": {}})()
            context.shared["value_embedding"] = torch.ones(1, 1, 16)
            context.shared["value_embedding.scales"] = torch.ones(9)
            if part(torch.zeros(1, 1, 1, 16), context).any():
                found.append((visit.physical, visit.number))
    return found


@pytest.mark.parametrize("index", INDICES)
def test_it_is_causal(index):
    assert_causal(tiny_model(WORD, f"{NODE}.index={index}", f"{NODE}.scale=5.0"))


@pytest.mark.parametrize("index", INDICES)
def test_properties_of_every_addon(index):
    assert_partitioned(tiny_model(WORD, f"{NODE}.index={index}"))
    assert_finite_under_bf16(tiny_model(WORD, f"{NODE}.index={index}"))


def test_it_compiles_as_one_graph():
    assert_one_graph(tiny_model(WORD, f"{NODE}.visits=[1]", "arch.layers=2"), logits=True)


def test_values_gain_the_scaled_projected_rows():
    model = tiny_model(WORD)
    table = model.addons.parts["value_embedding"]
    seen = {}

    def remember(part, args, output):
        seen[id(part)] = (args[0], output)

    feed = model.addons.block_sites["5_0"]["value"][0]
    feed.register_forward_hook(remember)
    with torch.no_grad():
        table.place_scales[1] = 3.0
    model.hidden(ids())
    v, fed = seen[id(feed)]
    rows = F.embedding(ids(), table.table) @ table.projection.weight.T
    torch.testing.assert_close(fed - v, (0.1 * 3.0 * rows).view_as(v))


def test_only_the_listed_visits_are_fed():
    model = tiny_model(WORD)
    assert fed_layers(model) == [(4, 0), (5, 0)]
    sites = model.addons.block_sites
    assert not any(part for key in ("0_0", "1_0", "2_0", "3_0") for part in sites[key]["value"])


def test_virtual_places_fall_on_other_layers_once_recurrence_is_active():
    model = tiny_model(WORD, MINI)
    assert fed_layers(model) == [(4, 0), (5, 0)]
    model.activate(list(model.routes)[-1])
    assert fed_layers(model) == [(2, 1), (3, 1)]


def test_physical_layers_are_fed_at_every_visit():
    model = tiny_model(WORD, MINI, f"{NODE}.index=physical", f"{NODE}.visits=[3,4]")
    assert fed_layers(model) == [(3, 0), (4, 0)]
    model.activate(list(model.routes)[-1])
    assert fed_layers(model) == [(3, 0), (3, 1), (4, 0)]
    assert_causal(model)


def test_places_beyond_the_first_schedule_wait_for_the_longer_one():
    model = tiny_model(WORD, MINI, f"{NODE}.visits=[7]")
    assert fed_layers(model) == []
    model.activate(list(model.routes)[-1])
    assert fed_layers(model) == [(5, 0)]


def test_the_table_is_read_once_per_forward_pass():
    model = tiny_model(WORD)
    calls = []
    model.addons.parts["value_embedding"].register_forward_hook(lambda *_: calls.append(1))
    model.logits(ids())
    assert calls == [1]
    tables = [p for p in model.modules() if isinstance(p, ValueTable)]
    assert len(tables) == 1 and not any(list(p.parameters()) for p in model.modules() if isinstance(p, ValueFeed))


def test_every_parameter_learns_after_one_step():
    model = tiny_model(WORD)
    one_step(model)
    model.zero_grad()
    one_step(model, seed=1)
    for name, parameter in model.addons.parts["value_embedding"].named_parameters():
        assert parameter.grad.any(), name


def test_it_comes_before_the_value_residual():
    model = tiny_model("arch/addon=[value_residual_v0,value_embedding]", f"{NODE}.visits=[0,4]")
    for key, kinds in {
        "0_0": ["ValueFeed", "FirstValues"],
        "4_0": ["ValueFeed", "Mix"],
        "5_0": ["Mix"],
    }.items():
        assert [type(p).__name__ for p in model.addons.block_sites[key]["value"]] == kinds
    randomise(model)
    assert torch.isfinite(model.loss(ids(), ids(seed=1)))


@pytest.mark.parametrize(("kv_heads", "count"), [(4, 163_843), (8, 196_611)])
def test_published_parameter_counts(kv_heads, count):
    assert added_at_record("value_embedding", f"arch.kv_heads={kv_heads}") == count


def test_groups_are_those_of_the_source():
    specs = tiny_model(WORD).param_specs()
    prefix = "addons.parts.value_embedding."
    assert specs[prefix + "table"].group == specs[prefix + "table"].storage == "embedding"
    assert {specs[prefix + n].storage for n in ("scale", "place_scales")} == {"keep_fp32"}


@pytest.mark.parametrize("group", ["matrix", "scalar"])
def test_the_projection_passes_quantization_in_either_group(group):
    model = tiny_model(WORD, f"{NODE}.projection_group={group}")
    spec = model.param_specs()["addons.parts.value_embedding.projection.weight"]
    assert (spec.group, spec.storage) == (group, "keep_fp16")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((f"{NODE}.visits=[6]",), r"\[6\] out of range; the virtual indices are 0..5"),
        ((f"{NODE}.visits=[-1]", f"{NODE}.index=physical"), "the physical indices are 0..5"),
        ((f"{NODE}.visits=[4,4]",), "twice"),
        ((f"{NODE}.visits=[]",), "empty"),
        ((f"{NODE}.visits=[0,4]", "arch.no_attention=[0]"), "layers without attention"),
    ],
)
def test_impossible_places_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        tiny_model(WORD, *words)
