"""Every option of every group composes, passes the check and, where it is part of a model, builds and steps.

Composing is what costs. Options of groups that say nothing of each other are therefore composed at once, one of each
group, and each one's node is tried in settings where everything else is as it was.
"""

import copy
import math
from functools import cache

import pytest
import torch

from pgolf.arch.table import model_table
from pgolf.config.compose import compose, conf_dir, settings
from pgolf.config.groups import GROUPS, group_of
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make, trait
from pgolf.run.rules import check
from tests.arch.causality import one_step
from tests.helpers import BOS, VOCAB, tiny_settings

# Options that are complete only with a setting of the user's.
NEEDS = {
    ("data", "text"): {"paths": ["some.txt"]},
    ("mixer", "sse"): {"of": tiny_settings("mixer=bucketed")["mixer"]},
}
# What experts and mixers, as far as they do anything, are complete only with.
MATES = {"ngram": ("mixer", "bucketed"), "mixer": ("ngram", "backoff")}
PACKED_MATE = ("mixer", "tree")  # whose counts begin with those of ngram=packed
# Options that refuse to live in the default model, with the reason their message gives.
REFUSES = {
    ("arch/attention", "flex"): "cannot train on a CPU",
    ("eval", "documents_gated"): "this ttt adapts to none of them apart; choose ttt=document_lora",
    ("eval", "pr687_documents"): "this ttt adapts to none of them apart; choose ttt=document_lora",
    ("loader", "documents"): "choose arch/attention=packed",
    ("loader", "documents_pr1530"): "choose arch/attention=packed",
    ("mixer", "confidence_pr187"): "confidence: needs the signal 'moved'",
    ("mixer", "routed"): "routing head, which it has not",
    ("mixer", "routed_published"): "routing head, which it has not",
    ("ttt", "pr860"): "no layer of this model is visited twice",
    ("ttt", "pr860_command"): "no layer of this model is visited twice",
}
# Groups whose options choose in other groups too, or are read by them.
ALONE = ("size", "budget", "experiment", "arch", "optimizer", "quant")


def choices():
    for group in GROUPS:
        for option in options(conf_dir(), group.path):
            yield group, option


def beneath(group):
    """The words that options of the group are tried over."""
    if group.path == "qat":
        return ("quant=int5_rtn",)  # its grid is known before training
    if group.path.startswith("optimizer/"):
        return ("optimizer=muon_adamw",)
    if group.path.startswith("quant/"):
        return ("quant=int5_gptq",)  # it has all children, and the Hessians some of them read
    return ()


def row(number, over):
    """One option of every group that is tried over these words, counted round and round; all where many are chosen."""
    words = []
    for group in GROUPS:
        found = options(conf_dir(), group.path)
        if found and group.path not in ALONE and beneath(group) == over:
            chosen = f"[{','.join(found)}]" if group.many else found[number % len(found)]
            words.append(f"{group.path}={chosen}")
    return tiny_settings(*over, *words)


def put(cfg, group, option):
    """Choose the option in ``cfg``, where its group has another."""
    number = options(conf_dir(), group.path).index(option)
    composed = row(0 if group.many else number, beneath(group))
    if not group.many:
        cfg["choices"][group.path] = option
    *path, last = group.key.split(".")
    for part in path:
        cfg, composed = cfg[part], composed[part]
    node = copy.deepcopy(composed[last])
    if group.many:  # an addon is added, a hook or a logger takes the place of those that were there
        node = (cfg[last] if group.path == "arch/addon" else {}) | {option: node[option]}
    cfg[last] = node | NEEDS.get((group.path, option), {})


@cache
def settings_with(path, option):
    group = group_of(path)
    if path in ALONE:
        return settings(compose([*["size=tiny"] * (path != "size"), f"{path}={option}"]))
    cfg = copy.deepcopy(tiny_settings(*beneath(group)))
    put(cfg, group, option)
    if path == "hook":
        cfg["budget"]["train_steps"] = 50  # there may be none that ends the training
    if path == "mixer" and trait(cfg[path], "neutral", False):
        put(cfg, group_of("ngram"), "none")  # it goes with none but that
    if path in MATES and not trait(cfg[path], "neutral", False):
        mate, its = PACKED_MATE if "packed_bytes" in cfg[path] else MATES[path]
        put(cfg, group_of(mate), its)
    if path == "ttt" and trait(cfg[path], "apart", False):
        put(cfg, group_of("eval"), "documents")
    if path == "ttt" and cfg[path].get("unadapted_expert"):
        put(cfg, group_of("mixer"), "tree")
    return cfg


@pytest.mark.filterwarnings("ignore:arch.attention")  # fa3 says that it falls back
@pytest.mark.parametrize(("group", "option"), list(choices()), ids=lambda x: getattr(x, "path", x))
def test_every_option_composes_and_passes_the_check(group, option):
    cfg = settings_with(group.path, option)
    if (group.path, option) in REFUSES:
        with pytest.raises(ConfigError, match=REFUSES[group.path, option]):
            check(cfg)
    else:
        check(cfg)


SINGLE = [(group, option) for group, option in choices() if group.path not in ALONE]
LAST_OF_EACH = {group.path: option for group, option in SINGLE if (group.path, option) not in NEEDS}


@pytest.mark.parametrize(
    ("group", "option"),
    [
        pytest.param(g, o, marks=[pytest.mark.slow] * (o != LAST_OF_EACH[g.path] or not g.path.startswith("arch/")))
        for g, o in SINGLE
        if g.path not in MATES and (g.path, o) not in NEEDS
    ],
    ids=lambda x: getattr(x, "path", x),
)
def test_an_option_composed_beside_others_is_what_it_is_alone(group, option):
    value = f"[{option}]" if group.many else option
    extra = ["budget.train_steps=50"] * (group.path == "hook")
    found = settings_with(group.path, option)
    extra += ["eval=documents"] * (group.path == "ttt" and trait(found["ttt"], "apart", False))
    extra += ["mixer=tree"] * (group.path == "ttt" and bool(found["ttt"].get("unadapted_expert")))
    alone = tiny_settings(*beneath(group), f"{group.path}={value}", *extra)
    assert {**found, "choices": None} == {**alone, "choices": None}


def model_choices():
    return [(g, o) for g, o in choices() if g.path.startswith("arch") and (g.path, o) not in REFUSES]


@pytest.mark.filterwarnings("ignore:arch.attention")
@pytest.mark.parametrize(("group", "option"), model_choices(), ids=lambda x: getattr(x, "path", x))
def test_every_model_option_takes_a_finite_step_and_is_tabulated(group, option):
    torch.manual_seed(0)
    model = make(settings_with(group.path, option)["arch"], vocab_size=VOCAB, bos_id=BOS)
    assert math.isfinite(one_step(model))
    assert all(torch.isfinite(p).all() for p in model.parameters())
    table = model_table(model, dict.fromkeys(model.param_specs(), 1.0))
    assert table.parameters == sum(p.numel() for p in model.parameters())
