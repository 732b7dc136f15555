"""Every option of every group composes, passes the check and, where it is part of a model, builds and steps."""

import math

import pytest
import torch

from pgolf.arch.table import model_table
from pgolf.config.compose import compose as compose_words
from pgolf.config.compose import conf_dir, settings
from pgolf.config.groups import GROUPS
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import trait
from pgolf.run.rules import check
from tests.arch.causality import one_step
from tests.helpers import tiny_model

# Options that are complete only with a setting of the user's.
NEEDS = {("data", "text"): ["data.paths=[some.txt]"], ("mixer", "sse"): ["mixer@mixer.of=bucketed"]}
# What experts and mixers, as far as they do anything, are complete only with.
MATES = {"ngram": "mixer=bucketed", "mixer": "ngram=backoff"}
# Options that refuse to live in the default model, with the reason their message gives.
REFUSES = {("arch/attention", "flex"): "cannot train on a CPU"}


def choices():
    for group in GROUPS:
        for option in options(conf_dir(), group.path):
            yield group, option


@pytest.mark.filterwarnings("ignore:arch.attention")  # fa3 says that it falls back
@pytest.mark.parametrize(("group", "option"), list(choices()), ids=lambda x: getattr(x, "path", x))
def test_every_option_composes_and_passes_the_check(group, option):
    value = f"[{option}]" if group.many else option
    words = ["size=tiny"] if group.path != "size" else []
    extra = ["budget.train_steps=5"] if group.path == "hook" else []
    if group.path == "qat":
        words.append("quant=int5_rtn")  # its grid is known before training
    if group.path.startswith("quant/"):
        words.append("quant=int5_gptq")  # it has all children, and the Hessians some of them read
    words += [f"{group.path}={value}", *extra, *NEEDS.get((group.path, option), [])]
    cfg = settings(compose_words(words))
    if group.path in MATES and not trait(cfg[group.path], "neutral", False):
        cfg = settings(compose_words([*words, MATES[group.path]]))
    if (group.path, option) in REFUSES:
        with pytest.raises(ConfigError, match=REFUSES[group.path, option]):
            check(cfg)
    else:
        check(cfg)


def model_choices():
    return [(g, o) for g, o in choices() if g.path.startswith("arch") and (g.path, o) not in REFUSES]


@pytest.mark.filterwarnings("ignore:arch.attention")
@pytest.mark.parametrize(("group", "option"), model_choices(), ids=lambda x: getattr(x, "path", x))
def test_every_model_option_takes_a_finite_step_and_is_tabulated(group, option):
    value = f"[{option}]" if group.many else option
    model = tiny_model(f"{group.path}={value}")
    assert math.isfinite(one_step(model))
    assert all(torch.isfinite(p).all() for p in model.parameters())
    table = model_table(model, dict.fromkeys(model.param_specs(), 1.0))
    assert table.parameters == sum(p.numel() for p in model.parameters())
