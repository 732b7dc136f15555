"""What a published vocabulary may make of a text: the text itself, or what one of sentencepiece's own rules writes.

A model file brings its rule of normalisation along, and a rule may write anything for anything: an easier text, or a
longer one, by whose bytes a score is then divided. So the judge writes the text by the stock rules itself and compares
in order, case and white space kept. The challenge's vocabularies use ``nmt_nfkc`` (compatibility forms, control
characters, white space to spaces) with runs of spaces cleaned up; Scylla leaves the text as it is. Rules that take case
away are among the stock ones and not here: without its case it is another text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# (sentencepiece's name, whether runs of spaces become one and those at the ends go), the likeliest first.
RULES = (
    ("nmt_nfkc", True),
    ("identity", False),
    ("nmt_nfkc", False),
    ("nfkc", True),
    ("nfkc", False),
    ("identity", True),
)
_MOST = 64  # differing characters of one document that are told apart; with more all of it counts
_REPLACEMENT = "\ufffd"  # what the bytes of half a character decode to


@dataclass(frozen=True, slots=True)
class Likeness:
    """``lost``: characters that are others, missing or too many. ``raw_bytes``: of the raw text that came."""

    lost: int
    raw_bytes: int


def written_by_a_rule(texts: Sequence[str], came: Sequence[str], most: float) -> Likeness | None:
    """By the first rule whose writing of ``texts`` differs from ``came`` in at most so many characters; None by none.

    One rule holds for all documents. The last one of ``came`` may end early.
    """
    for rule, cleans in RULES:
        found = _by_rule(texts, came, most, _normalizer(rule, cleans))
        if found.lost <= most:
            return found
    return None


def _by_rule(texts: Sequence[str], came: Sequence[str], most: float, normalizer: Any) -> Likeness:
    """Stops at the document with which there are more than ``most``."""
    lost = raw_bytes = 0
    for number, (raw, decoded) in enumerate(zip(texts, came, strict=True)):
        written = str(normalizer.normalize(raw))
        if number == len(came) - 1:
            decoded = decoded.rstrip(_REPLACEMENT)
            if len(decoded) < len(written):
                raw, written = _raw_prefix(raw, len(decoded), normalizer), written[: len(decoded)]
        lost += differing(written, decoded)
        raw_bytes += len(raw.encode())
        if lost > most:
            break
    return Likeness(lost, raw_bytes)


def _raw_prefix(raw: str, characters: int, normalizer: Any) -> str:
    """What of ``raw`` so many characters were written for."""
    if not characters:
        return ""
    starts = normalizer.normalize(raw, with_offsets=True)[1]
    return raw[: max(starts[characters - 1] + 1, starts[characters])]


def _normalizer(rule: str, cleans: bool) -> Any:
    from sentencepiece import SentencePieceNormalizer

    return SentencePieceNormalizer(
        rule_name=rule, add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=cleans
    )


def differing(there: str, came: str) -> int:
    """The least number of characters to replace, insert or remove; all there are where it is more than ``_MOST``.

    Diagonal by diagonal, the furthest that so many edits reach (Ukkonen 1985): equal texts cost one look.
    """
    if there == came:
        return 0
    end = len(there) - len(came)
    reach = {0: _same_until(there, came, 0, 0)}
    for edits in range(_MOST + 1):
        if reach.get(end, -1) == len(there):
            return edits
        reach = {
            diagonal: _furthest(there, came, reach, diagonal)
            for diagonal in range(max(-edits - 1, -len(came)), min(edits + 1, len(there)) + 1)
        }
    return max(len(there), len(came))


def _furthest(there: str, came: str, reach: dict[int, int], diagonal: int) -> int:
    """How far into ``there`` one edit more leads; ``diagonal`` is how far one is ahead there."""
    start = max(
        reach.get(diagonal, -1) + 1,  # replaced
        reach.get(diagonal - 1, -1) + 1,  # missing
        reach.get(diagonal + 1, -1),  # too many
        diagonal,
    )
    start = min(start, len(there), len(came) + diagonal)
    return _same_until(there, came, start, start - diagonal)


def _same_until(there: str, came: str, left: int, right: int) -> int:
    while left < len(there) and right < len(came) and there[left] == came[right]:
        left, right = left + 1, right + 1
    return left
