"""Words of a command line with several values each, and all that they choose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def expanded(words: Sequence[str]) -> list[list[str]]:
    """All combinations of the values that commas separate, outside brackets; the last word changes fastest.

    A lone / ends one list of words and begins another.
    """
    if "/" in words:
        end = words.index("/")
        return [*expanded(words[:end]), *expanded(words[end + 1 :])]
    choices = []
    for word in words:
        key, equals, value = word.partition("=")
        choices.append([f"{key}={part}" for part in _parts(value)] if equals else [word])
    return [list(chosen) for chosen in itertools.product(*choices)]


def _parts(value: str) -> list[str]:
    depth, parts = 0, [""]
    for letter in value:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
