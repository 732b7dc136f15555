"""Composed configs, pinned as text: a changed default shows up as a changed file.

To accept a change: ``python -m tests.test_golden`` from the project's root, and look at the difference.
"""

from pathlib import Path

import pytest

from pgolf.config.compose import compose, settings, to_yaml

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
        "mixer=none",
    ],
}


def composed(words):
    return to_yaml(settings(compose(words)), sort_keys=True)


@pytest.mark.parametrize("name", PINNED)
def test_the_composed_config_is_as_pinned(name):
    assert composed(PINNED[name]) == (FOLDER / f"{name}.yaml").read_text()


if __name__ == "__main__":
    for name, words in PINNED.items():
        (FOLDER / f"{name}.yaml").write_text(composed(words))
