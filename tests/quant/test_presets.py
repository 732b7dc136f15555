"""Every option of the group quant builds, each child of a preset can be replaced, and it all shows when composed."""

from functools import cache

import pytest

from pgolf.config.compose import compose, conf_dir, settings
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.quant.gptq import GPTQ
from pgolf.quant.rtn import RTN
from pgolf.run.rules import check

ALL = options(conf_dir(), "quant")
CHILDREN = {
    group: options(conf_dir(), f"quant/{group}") for group in ("scale", "policy", "correction", "calibration")
}
GRID = {
    "rtn": (RTN, 8, 8),
    "int8_rtn": (RTN, 8, 8),
    "int6_rtn": (RTN, 6, 8),
    "int5_rtn": (RTN, 5, 6),
    "gptq_lite": (RTN, 6, 8),
    "gptq": (GPTQ, 6, 8),
    "int6_gptq": (GPTQ, 6, 8),
    "int5_gptq": (GPTQ, 5, 5),
    "mixed_gptq": (GPTQ, 5, 6),
    "sdclip_gptq": (GPTQ, 6, 8),
    "fitted_gptq": (GPTQ, 8, 8),
    "pr187": (RTN, 6, 8),
    "pr860": (GPTQ, 5, 8),
    "pr1026": (RTN, 6, 8),
    "pr687": (GPTQ, 5, 8),
    "pr1204": (GPTQ, 5, 8),
    "pr1855": (GPTQ, 6, 7),
}
# Why a preset may refuse another child.
REASONS = ("reads the Hessians", "is no promotion from quant.bits", "a size is hit by multiplying k")


@cache
def composed(*words):
    return settings(compose(words))


@pytest.mark.parametrize("option", ALL)
def test_every_option_fits_the_default_model(option):
    check(composed(f"quant={option}"))


@pytest.mark.parametrize("size", ["tiny", "record"])
def test_layers_named_by_a_policy_exist_at_every_size(size):
    check(composed("quant=pr1204", f"size={size}"))


@pytest.mark.parametrize("option", GRID)
def test_presets_build_the_technique_and_the_bits_they_name(option):
    quantizer = make(composed(f"quant={option}")["quant"])
    roles = quantizer.pipeline.roles
    assert (type(quantizer), roles.bits, roles.embedding_bits) == GRID[option]


def replacements():
    """Each preset with all of its children replaced at once; every option of every child group occurs."""
    for place, (option, (technique, *_)) in enumerate(GRID.items()):
        groups = [g for g in CHILDREN if technique is GPTQ or g != "calibration"]
        yield option, {group: CHILDREN[group][place % len(CHILDREN[group])] for group in groups}


@pytest.mark.parametrize(("option", "children"), list(replacements()))
def test_the_children_of_a_preset_can_be_replaced(option, children):
    cfg = composed(f"quant={option}", *(f"quant/{group}={child}" for group, child in children.items()))
    try:
        check(cfg)
    except ConfigError as error:
        assert all(any(reason in p for reason in REASONS) for p in error.problems), error
    assert {group: cfg["choices"][f"quant/{group}"] for group in children} == children


@pytest.mark.parametrize("group", CHILDREN)
def test_every_option_of_a_child_group_replaces_one_somewhere(group):
    assert {children.get(group) for _, children in replacements()} >= set(CHILDREN[group])


def test_components_can_be_listed_on_the_command_line():
    words = ("quant/scale=sdclip", "quant.scale.component_k={mlp:11,attention:14}")
    policy = ("quant.policy.component_bits={attention:6}",)
    pipeline = make(composed("quant=int5_gptq", *words, *policy)["quant"]).pipeline
    assert pipeline.scale.component_k == {"mlp": 11, "attention": 14}
    assert pipeline.policy.component_bits == {"attention": 6}


def test_a_records_preset_is_its_recipe():
    recipe = make(composed("quant=pr1855")["quant"]).pipeline
    assert (recipe.scale.component_k, recipe.scale.embedding_k) == ({"mlp": 11.5, "attention": 13.0}, 14.0)
    assert (recipe.policy.gate_bits, recipe.correction.top_k, recipe.correction.rank) == (8, 3, 4)
    assert make(composed("quant=pr687")["quant"]).prune_fraction == 0.03
    legacy = make(composed("quant=pr1204")["quant"])
    assert (legacy.pipeline.scale.floor, legacy.pipeline.policy.promoted_bits) == ("legacy", 6)
    assert legacy.calibration_source.source == "self_generated"
    assert make(composed("quant=pr187")["quant"]).pipeline.policy.late_k_layers == 2
