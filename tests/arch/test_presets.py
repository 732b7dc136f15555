"""The published models, rebuilt: parameter counts of the published models, and legal shapes at every size."""

from functools import cache

import pytest
import torch

from pgolf.config.compose import compose, conf_dir, settings
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.run.model_report import print_model
from pgolf.run.rules import check
from tests.arch.causality import assert_causal
from tests.arch.one_graph import assert_one_graph
from tests.helpers import tiny_model

# Spec arch §12. #1204's 30,192,302 counts the matrices and controls of a layer-0 attention that is never used
# (decisions 11): 786,432 + 512 + 8 fewer here.
COUNTS = {
    "baseline": (1024, 17_059_912),
    "pr187": (1024, 25_254_992),
    "pr187_recurrent": (1024, 25_222_224),
    "pr860": (1024, 33_328_877),
    "pr1026": (1024, 26_928_220),
    "pr687": (1024, 33_317_980),
    "pr1204": (1024, 30_192_302 - 786_432 - 512 - 8),
    "pr1855": (8192, 35_945_671),
    "mamba_hybrid": (1024, 17_885_904),
}
PRESETS = [*COUNTS, "parallel_recur"]
CHILDREN = {
    group: options(conf_dir(), f"arch/{group}") for group in ("lanes", "recurrence", "mlp", "init", "attention")
}
# Presets that have little in common; what is dear is tried on them, and on the others among the slow tests.
UNLIKE = ("baseline", "pr1204", "pr1855", "mamba_hybrid")  # two of them have routes, one a state
some = pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=[] if arch in UNLIKE else pytest.mark.slow) for arch in PRESETS]
)
few = pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=[] if arch in UNLIKE[1::2] else pytest.mark.slow) for arch in PRESETS]
)
# Why a preset may refuse another child (spec arch §9, §13), and what only a GPU can do.
REASONS = (
    "in the encoder half, whose skips hold one stream",
    "after the lanes have split",
    "is not defined for arch=mamba_hybrid",
    "flex attention cannot train on a CPU",
)


@cache
def composed(*words):
    return settings(compose(words))


def record_model(arch, vocab_size, *words):
    node = composed("size=record", f"arch={arch}", *words)["arch"]
    with torch.device("meta"):
        return make(node, vocab_size=vocab_size, bos_id=1)


@pytest.mark.parametrize("arch", COUNTS)
def test_the_record_model_has_the_published_parameter_count(arch):
    vocab_size, count = COUNTS[arch]
    words = ["arch.ssm_state=16"] if arch == "mamba_hybrid" else []
    assert sum(p.numel() for p in record_model(arch, vocab_size, *words).parameters()) == count


def test_keeping_layer_0s_unused_attention_gives_1204s_published_count():
    model = record_model("pr1204", 1024, "arch.no_attention=[]")
    assert sum(p.numel() for p in model.parameters()) == 30_192_302


@pytest.mark.parametrize("size", ["laptop", "record", "tiny"])
@pytest.mark.parametrize("arch", PRESETS)
def test_every_preset_is_legal_at_every_size(arch, size):
    check(composed(f"size={size}", f"arch={arch}"))


@pytest.mark.parametrize("size", ["laptop", "record"])
@pytest.mark.parametrize("arch", PRESETS)
def test_every_preset_can_be_printed(arch, size, capsys):
    cfg = composed(f"size={size}", f"arch={arch}")
    print_model(cfg)
    shown = capsys.readouterr().out
    assert f"{arch}, size {size}: " in shown and "visits " in shown
    for addon in cfg["arch"]["addons"]:
        assert f"addon {addon}, from arch={arch}: at " in shown


@pytest.mark.parametrize("arch", PRESETS)
def test_every_preset_is_causal_in_every_route(arch):
    model = tiny_model(f"arch={arch}")
    for name in model.routes:
        model.activate(name)
        assert_causal(model)


@few
def test_every_preset_trains_as_one_graph_in_every_route(arch):
    assert_one_graph(tiny_model(f"arch={arch}"))


@pytest.mark.slow
@pytest.mark.parametrize("arch", PRESETS)
def test_every_preset_trains_as_one_graph_with_inductor(arch):
    assert_one_graph(tiny_model(f"arch={arch}"), backend="inductor", rtol=1e-3)


def test_an_addon_word_adds_to_a_preset_and_a_tilde_removes_from_it():
    added = composed("arch=pr1855", "arch/addon=[canon]")["arch"]["addons"]
    assert {"canon", "smear_gate", "gate_sparse"} <= added.keys()
    removed = composed("arch=pr1855", "~arch.addons.smear_gate")["arch"]["addons"]
    assert "smear_gate" not in removed and "gate_sparse" in removed


def with_other_children(arch):
    """(group, option, settings) with each option of each child group in the preset, one at a time.

    Composed with all groups replaced at once, to save time; what a preset writes into a child shows just so.
    """
    plain = composed("size=tiny", f"arch={arch}")
    for number in range(max(map(len, CHILDREN.values()))):
        row = {group: known[number % len(known)] for group, known in CHILDREN.items()}
        words = [f"arch/{group}={option}" for group, option in row.items()]
        replaced = settings(compose(["size=tiny", f"arch={arch}", *words]))["arch"]
        for group, option in row.items():
            yield group, option, plain | {"arch": plain["arch"] | {group: replaced[group]}}


@pytest.mark.filterwarnings("ignore:arch.attention")  # fa3 says that it falls back
@some
def test_every_child_of_every_preset_can_be_replaced_or_says_why_not(arch):
    for group, option, cfg in with_other_children(arch):
        try:
            check(cfg)
        except ConfigError as error:
            for problem in error.problems:
                assert any(reason in problem for reason in REASONS), f"arch/{group}={option}: {problem}"


@pytest.mark.parametrize(
    "words",
    [
        ("arch=pr1204", "arch/recurrence=none"),
        ("arch=pr1204", "arch/lanes=none"),
        ("arch=pr1204", "arch/lanes=p2"),
        ("arch=pr1855", "arch/lanes=none"),
        ("arch=pr1855", "arch/lanes=p1"),
        ("arch=parallel_recur", "arch/lanes=p4"),
    ],
    ids="-".join,
)
@pytest.mark.parametrize("size", [pytest.param("laptop", marks=pytest.mark.slow), "record"])
def test_a_preset_without_one_of_its_ideas_is_a_model(words, size):
    check(composed(f"size={size}", *words))


def test_1204_at_record_size_is_switched_by_step_and_elsewhere_by_the_fraction_of_the_run():
    at = {size: composed(f"size={size}", "arch=pr1204")["arch"]["recurrence"] for size in ("tiny", "laptop", "record")}
    assert {size: (node["start"], node["start_step"]) for size, node in at.items()} == {
        "tiny": (0.5, None),
        "laptop": (0.5, None),
        "record": (None, 3000),
    }
    assert {node["keys"] for node in at.values()} == {"virtual"}


def test_1204_has_xsa_from_the_third_visit_on():
    model = record_model("pr1204", 1024)
    chosen = model.addons.specifications["xsa"].part.places
    assert chosen == set(range(2, 13))


@pytest.mark.parametrize("arch", ["pr860", "pr1026", "pr687", "pr1204"])
@pytest.mark.parametrize("size", ["laptop", "record"])
def test_the_rope_rule_is_on_at_the_published_window(arch, size):
    words = ["size.window=2048"] if size == "record" else []
    cfg = composed(f"size={size}", f"arch={arch}", *words)
    attention = cfg["arch"]["attention"]
    assert attention["rope_ntk"] and cfg["train"]["window"] == 2 * attention["rope_ref_len"]
