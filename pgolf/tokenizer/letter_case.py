"""The transform of CaseOps: letters in lower case, their case as control characters; lossless, with a byte sidecar.

Over maximal ASCII-alphabetic runs: all lower: unchanged; two or more letters, all upper: ALLCAPS + lower;
first upper, rest lower (a single capital too): TITLE + lower; mixed: TITLE if the first letter is upper, then
CAPNEXT before each further upper letter. A literal control character is written ESC + character.
Source: parameter-golf pull request 1729. The sidecar holds the *original* UTF-8 bytes each token carries, so
that a score counts the text and not its transform.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from pgolf.core.errors import DataError

TITLE, ALLCAPS, CAPNEXT, ESC = "\ue001", "\ue002", "\ue003", "\ue004"
CONTROLS = TITLE + ALLCAPS + CAPNEXT + ESC
_RUN = re.compile("[A-Za-z]+|[\ue001-\ue004]")
_CONTROLLED = re.compile("\ue004([\ue001-\ue004])|\ue002([a-z]+)|[\ue001\ue003]([a-z])")
# Controls in force where the text itself may have their characters: lone surrogates, which no decoded bytes contain.
MARKS = "\ud801\ud802\ud803\ud804"
BREAK = "\ud805"  # ends what a mark reaches
_MARKED = re.compile("\ud804([\ud801-\ud804])|\ud802([a-z]+)|[\ud801\ud803]([a-z])|[\ud801-\ud805]")
_FROM_MARK = str.maketrans(MARKS, CONTROLS)


def transform(text: str) -> str:
    """The case-factored text; ``restore`` undoes it for every string."""
    return _RUN.sub(lambda match: _factored(match.group()), text)


def _factored(run: str) -> str:
    if run in CONTROLS:
        return ESC + run
    lower = run.lower()
    if run == lower:
        return run
    if len(run) >= 2 and run == run.upper():
        return ALLCAPS + lower
    first = TITLE + lower[0] if run[0] != lower[0] else run[0]
    return first + "".join(
        CAPNEXT + small if big != small else big for big, small in zip(run[1:], lower[1:], strict=True)
    )


def restore(text: str) -> str:
    """The original of a transformed text. Raises DataError for what ``transform`` cannot have written."""
    restored = undo(text)
    if transform(restored) != text:
        raise DataError("caseops: not a transformed text")
    return restored


def undo(text: str) -> str:
    """The original of a transformed text; in any other, controls that say nothing stay."""
    return _CONTROLLED.sub(_original, text)


def undo_marks(text: str) -> str:
    """The same of a text whose controls in force are ``MARKS``; those that say nothing go, and so does ``BREAK``."""
    return _MARKED.sub(_original, text)


def _original(match: re.Match[str]) -> str:
    literal, capitals, letter = match.groups()
    return literal.translate(_FROM_MARK) if literal else (capitals or letter or "").upper()


def escaped(ids_N: np.ndarray, escape_id: int) -> np.ndarray:
    """Which tokens of a stream stand after an escape that is in force, bool [N]: in a row of escapes every second."""
    places_N = np.arange(len(ids_N))
    other_N = np.maximum.accumulate(np.where(ids_N != escape_id, places_N, -1))
    before_N = np.concatenate([[-1], other_N[:-1]])  # the last token before that is no escape
    return (places_N - before_N) % 2 == 0


class _Walk:
    """Bytes of the original carried by a stretch of transformed text; an escape may cross stretches."""

    def __init__(self) -> None:
        self._escaped = False

    def carried(self, surface: str) -> int:
        total = 0
        for character in surface:
            if character in CONTROLS and not self._escaped:
                self._escaped = character == ESC
                continue
            self._escaped = False
            total += len(character.encode())
        return total


def sidecar(transformed: str, processor: Any) -> tuple[np.ndarray, np.ndarray]:
    """(ids, bytes) of one document, both uint16 [n], BOS not included.

    ``bytes[i]`` is what token i carries of the original; for a character spelled in byte tokens it sits on
    the last of them. Leading and trailing white space that the model strips has no token and no bytes.
    Raises DataError if the installed sentencepiece reports neither offsets nor surfaces.
    """
    ids, surfaces = _surfaces(transformed, processor)
    walk = _Walk()
    carried = [walk.carried(surface) for surface in surfaces]
    if max(carried, default=0) > 65535:
        raise DataError("caseops: one token carries more than 65,535 bytes")
    return np.array(ids, dtype=np.uint16), np.array(carried, dtype=np.uint16)


def _surfaces(text: str, processor: Any) -> tuple[list[int], list[str]]:
    """Ids and the stretch of ``text`` each covers; old releases report protos, new ones offsets."""
    if hasattr(processor, "encode_as_offset_mapping"):
        found = processor.encode_as_offset_mapping(text)
        return list(found["ids"]), [text[start:stop] for start, stop in found["offsets"]]
    if hasattr(processor, "encode_as_immutable_proto"):
        pieces = processor.encode_as_immutable_proto(text).pieces
        return [piece.id for piece in pieces], [piece.surface for piece in pieces]
    raise DataError("caseops: the installed sentencepiece reports no surfaces; 0.2.0 and 0.2.3 do")
