"""The whole recipes of records, at a size at which a road from text to score takes seconds.

Their certificates are those of any run (``test_stages``); what a recipe claims, and whether its rows may claim it, is
looked at here.
"""

from __future__ import annotations

import pytest
import torch

from pgolf.config.compose import compose, conf_dir, settings
from pgolf.config.preflight import options
from pgolf.core.process import Process
from pgolf.run import stages
from pgolf.run.recorder import Recorder
from pgolf.run.rules import check

RECIPES = [name for name in options(conf_dir(), "experiment") if "_eval" not in name]
PUBLISHED = [name for name in RECIPES if f"{name}_valid" in RECIPES]
UNORDERED = "pr1855"  # its rows are sound, its order has to be told
SPARSE = "pr187"  # each of its eight caches sees too little of so short a text
# Everything of a run but its certificate, in this process.
QUICK = ["size=tiny", "tokenizer=bytes", "hook=[wallclock]", "budget.subset_tokens=1200", "device=cpu"]
# One each whose parts the others do not have; all of them among the slow ones.
UNLIKE = ("baseline", "pr860", "pr1855")


class Heard(Recorder):
    """Keeps what is told of scores, and what is said in words."""

    def __init__(self, cfg):
        super().__init__(cfg, Process(rank=0, world=1))
        self.scores, self.said = {}, {}

    def hear(self, event):
        if event.name == "score":
            self.scores[event.facts["which"]] = event.facts["score"]
        elif event.text:
            self.said[event.name] = event.text


def words_of(name, *words):
    return settings(compose([f"experiment={name}", *words]))


def road(name, cache, out):
    """From text to the score of a slice of validation, with the twenty steps of a smoke run."""
    cfg = words_of(name, *QUICK, f"cache_dir={cache}")
    check(cfg)
    heard = Heard(cfg)
    heard.folder = out
    dataset = stages.prepare(heard)
    trainer = stages.build(heard, dataset)
    stages.rehearse(heard, dataset, stages.composed(heard, dataset, trainer.model))
    trained = stages.fit(heard, trainer)
    with torch.no_grad():
        evaluation = stages.score_dev(heard, dataset, stages.export(heard, dataset, trainer.model, trained))
        stages.score_validation(heard, evaluation, dataset)
    return heard


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in UNLIKE)) for n in RECIPES])
def test_a_recipe_goes_from_text_to_a_score_whose_rows_say_whether_it_is_a_code_length(name, cache, tmp_path):
    heard = road(name, cache, tmp_path)
    final = heard.scores["final"]
    assert set(heard.scores) == {"prequant", "roundtrip", "dev", "final"}
    assert (final.sum_p_max > 1.01) == (name in PUBLISHED and name not in (UNORDERED, SPARSE))
    assert (final.side_bits > 0) == (name == UNORDERED)
    assert ("once" in heard.said) == (heard.scores["dev"] is heard.scores["roundtrip"]) == (name == "baseline")


@pytest.mark.parametrize("size", ["tiny", "laptop", "record"])
@pytest.mark.parametrize("name", RECIPES)
def test_all_of_a_recipe_fits_together_at_every_size(name, size):
    check(words_of(name, f"size={size}"))
