"""Generated text for tests and first steps: invented words in a small grammar, the same on every machine.

A lexicon of pronounceable words with Zipf frequencies, sentences of subject, verb, object with agreement,
paragraphs that keep returning to their topic: enough structure that a model visibly learns in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from random import Random
from typing import Annotated

from pgolf.core.ranges import Between
from pgolf.data.base import TextSource
from pgolf.data.documents import split_of

_ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "tr",
    "v",
    "w",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
_CODAS = ["", "", "n", "r", "s", "t", "l", "m", "nd", "st", "ck"]
_ENDINGS = {"noun": "", "verb": "es", "adjective": "ish"}


class Tiny(TextSource):
    """Source of ``data=tiny``: ``documents`` texts of about ``document_bytes`` bytes each."""

    name = "tiny"

    def __init__(
        self,
        *,
        document_count: Annotated[int, Between(10, 10_000)],
        document_bytes: Annotated[int, Between(100, 1_000_000)],
        text_seed: Annotated[int, Between(0)],
    ) -> None:
        self.document_count, self.document_bytes, self.text_seed = document_count, document_bytes, text_seed

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        lexicon = _lexicon(Random(self.text_seed))
        return tuple(
            _document(lexicon, Random(1_000_003 * (self.text_seed + 1) + index), self.document_bytes)
            for index in range(self.document_count)
        )

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(name, text) of the documents of a split."""
        texts = enumerate(self._texts)
        return ((f"tiny-{index:04d}", text) for index, text in texts if split_of(index) == split)


def _pick(random: Random, choices: list[str]) -> str:
    """Zipf-like: low indices often. Only ``random()`` is used, which is the same in every Python."""
    return choices[int(len(choices) * random.random() ** 3)]


def _lexicon(random: Random) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for kind, count in (("noun", 500), ("verb", 250), ("adjective", 250)):
        made: dict[str, None] = {}
        while len(made) < count:
            stem = "".join(
                group[int(len(group) * random.random())]
                for _ in range(1 + int(2 * random.random()))
                for group in (_ONSETS, _VOWELS, _CODAS)
            )
            made[stem + _ENDINGS[kind]] = None
        words[kind] = list(made)
    return words


def _document(lexicon: dict[str, list[str]], random: Random, size: int) -> str:
    """Paragraphs about a topic until ``size`` bytes are reached."""
    paragraphs: list[str] = []
    while sum(map(len, paragraphs)) < size:
        topic = [_pick(random, lexicon["noun"]) for _ in range(4)]
        sentences = [_sentence(lexicon, random, topic) for _ in range(3 + int(4 * random.random()))]
        paragraphs.append(" ".join(sentences))
    return "\n\n".join(paragraphs)


def _sentence(lexicon: dict[str, list[str]], random: Random, topic: list[str]) -> str:
    def noun_phrase() -> str:
        noun = _pick(random, topic if random.random() < 0.6 else lexicon["noun"])
        adjective = _pick(random, lexicon["adjective"]) + " " if random.random() < 0.4 else ""
        return f"the {adjective}{noun}"

    words = f"{noun_phrase()} {_pick(random, lexicon['verb'])} {noun_phrase()}"
    if random.random() < 0.3:
        words += f" and {_pick(random, lexicon['verb'])} {noun_phrase()}"
    if random.random() < 0.2:
        words += f" in {1700 + int(300 * random.random())}"
    return words[0].upper() + words[1:] + "."
