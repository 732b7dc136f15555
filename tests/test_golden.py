"""Composed configs, pinned as text: a changed default shows up as a changed file.

To accept a change: ``python -m tests.test_golden`` from the project's root, and look at the difference.
"""

from pathlib import Path

import pytest

from pgolf.config.compose import compose, conf_dir, settings, to_yaml
from pgolf.config.eval_words import OVERRIDABLE
from pgolf.config.preflight import options

FOLDER = Path(__file__).parent / "golden"
PINNED = {
    "default": [],
    "smoke": ["budget=smoke"],
    "record_fineweb": [
        "size=record",
        "budget=official",
        "data=fineweb",
        "tokenizer=sp1024",
        "eval=sliding",
        "ngram=none",
        "mixer=none",
    ],
}
RECIPES = [name for name in options(conf_dir(), "experiment") if "_eval" not in name and "_valid" not in name]
PINNED |= {f"{name}_recipe": [f"experiment={name}"] for name in RECIPES}
PINNED |= {f"{name}_laptop": [f"experiment={name}", "size=laptop"] for name in ("pr1204", "pr1855")}

EVALUATIONS = "evaluations"  # of all records, at their size


def composed(words):
    return to_yaml(settings(compose(words)), sort_keys=True)


def evaluations():
    """The evaluation of each experiment that has one, and nothing else of it."""
    found = {}
    for name in options(conf_dir(), "experiment"):
        if "_eval" in name or "_valid" in name:
            cfg = settings(compose(["size=record", f"experiment={name}"]))
            found[name] = {group: cfg[group] for group in OVERRIDABLE}
    return to_yaml(found, sort_keys=True)


@pytest.mark.parametrize("name", PINNED)
def test_the_composed_config_is_as_pinned(name):
    assert composed(PINNED[name]) == (FOLDER / f"{name}.yaml").read_text()


def test_the_evaluations_of_records_are_as_pinned():
    assert evaluations() == (FOLDER / f"{EVALUATIONS}.yaml").read_text()


if __name__ == "__main__":
    for name, words in PINNED.items():
        (FOLDER / f"{name}.yaml").write_text(composed(words))
    (FOLDER / f"{EVALUATIONS}.yaml").write_text(evaluations())
