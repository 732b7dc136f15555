"""Every option of the group quant builds, each child of a preset can be replaced, and it all shows when composed."""

import math
from contextlib import suppress
from functools import cache
from itertools import cycle, islice

import pytest
import torch

from pgolf.config.compose import compose, conf_dir, settings
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.quant.gptq import GPTQ
from pgolf.quant.pruning.magnitude import Magnitude
from pgolf.quant.rtn import RTN
from pgolf.quant.schemes import SCHEMES
from pgolf.quant.tensor_info import tensor_infos
from pgolf.run.rules import check
from tests.quant.nodes import info, weights

ALL = options(conf_dir(), "quant")
ARCHS = options(conf_dir(), "arch")
CHILDREN = {
    group: options(conf_dir(), f"quant/{group}")
    for group in ("scale", "policy", "pruning", "correction", "calibration")
}
MOST = max(map(len, CHILDREN.values()))
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
    "baseline": (RTN, 8, 8),
    "pr187": (RTN, 6, 6),
    "pr860": (RTN, 5, 8),
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


@cache
def tiny_nodes():
    """The node of every option of arch and quant at size=tiny, by group and option; one of each is composed at once."""
    count = max(len(ARCHS), len(ALL))
    pairs = zip(*(islice(cycle(names), count) for names in (ARCHS, ALL)), strict=True)
    nodes = {"arch": {}, "quant": {}}
    for arch, quant in pairs:
        cfg = composed("size=tiny", f"arch={arch}", f"quant={quant}")
        nodes["arch"][arch], nodes["quant"][quant] = cfg["arch"], cfg["quant"]
    return nodes


@pytest.mark.parametrize("arch", ARCHS)
def test_every_option_foretells_every_architecture_or_says_why_it_does_not_fit(arch):
    with torch.device("meta"):
        model = make(tiny_nodes()["arch"][arch], vocab_size=1024, bos_id=1)
    specs, shapes = model.param_specs(), {name: tuple(p.shape) for name, p in model.named_parameters()}
    for node in tiny_nodes()["quant"].values():
        with suppress(ConfigError):
            forecast = make(node).forecast_model(specs, shapes)
            assert forecast.keys() >= shapes.keys() and all(map(math.isfinite, forecast.values()))


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


@pytest.mark.parametrize(
    ("option", "children"),
    [  # the first ones hold every option of every group
        pytest.param(*replaced, marks=[pytest.mark.slow] * (place >= MOST))
        for place, replaced in enumerate(replacements())
    ],
)
def test_the_children_of_a_preset_can_be_replaced(option, children):
    cfg = composed(f"quant={option}", *(f"quant/{group}={child}" for group, child in children.items()))
    try:
        check(cfg)
    except ConfigError as error:
        assert all(any(reason in p for reason in REASONS) for p in error.problems), error
    assert {group: cfg["choices"][f"quant/{group}"] for group in children} == children


@pytest.mark.parametrize("group", CHILDREN)
def test_every_option_of_a_child_group_replaces_one_somewhere(group):
    assert {children.get(group) for _, children in islice(replacements(), MOST)} >= set(CHILDREN[group])


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
    legacy = make(composed("quant=pr1204")["quant"])
    assert (legacy.pipeline.scale.floor, legacy.pipeline.policy.promoted_bits) == ("legacy", 6)
    assert legacy.calibration_source.source == "self_generated"


@pytest.mark.parametrize(("option", "step"), [("pr687", 15), ("pr860", 15), ("pr187", 31), ("pr1026", 31)])
def test_a_records_legacy_floor_is_one_over_its_last_code(option, step):
    scale = make(composed(f"quant={option}")["quant"]).pipeline.scale
    bits = make(composed(f"quant={option}")["quant"]).pipeline.roles.bits
    for scale_R in scale.candidates(weights(4, 64), bits, info(), None):
        assert torch.equal(scale_R, torch.full((4,), 1 / step).half())
    assert scale.per_tensor and len(scale.percentiles) == 5


@pytest.mark.parametrize("option", ["pr687", "pr860"])
def test_three_percent_are_pruned_before_rounding_and_before_gptq(option):
    pruning = make(composed(f"quant={option}")["quant"]).pipeline.pruning
    assert (type(pruning), pruning.fraction) == (Magnitude, 0.03)


def test_687_calibrates_on_128_sequences_of_the_record():
    cfg = composed("quant=pr687", "size=record")
    tokens = cfg["quant"]["calibration"]["batches"] * cfg["size"]["batch_tokens"] // cfg["size"]["accumulation"]
    assert tokens == 128 * 2048


def test_187s_payload_before_compression_is_what_its_log_prints():
    """Codes of one byte, float16 scales, and what passes: from the shapes alone."""
    cfg = composed("arch=pr187", "quant=pr187", "size=record")
    with torch.device("meta"):
        model = make(cfg["arch"], vocab_size=1024, bos_id=1)
    infos = tensor_infos(model.param_specs(), {name: p.shape for name, p in model.named_parameters()})
    treatments = make(cfg["quant"]).pipeline.policy.treatments(infos, None)

    def payload(info):
        treatment = treatments[info.name]
        return sum(part.nbytes for part in SCHEMES[treatment.scheme].parts(info.shape, treatment.bits))

    assert sum(info.elements for info in infos) == 25_254_992
    assert sum(map(payload, infos)) == 25_993_024
    kept = {info.name for info in infos if treatments[info.name].scheme == "fp16"}
    assert kept == {
        "embedding",
        "addons.parts.bigram_hash.projection.weight",
        "addons.parts.smear_gate.gamma",
    }
    assert {t.bits for t in treatments.values() if t.scheme == "grid"} == {6}
