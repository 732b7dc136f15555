"""Bytes per target token: the ``raw`` rule (exact surfaces) and the ``table`` rule of the challenge.

raw:    b_i = len(surface[t_i]); counted bytes equal the bytes of the text (decisions 3).
table:  b_i = bytes[t_i] + (lead[t_i] and not bound[p_i]), p_i the token before t_i. Source: the public
        evaluation code of openai/parameter-golf. ``lead``: the piece starts with the space sign, which
        counts one byte only after a real token; ``bound``: control, unknown, unused and unlisted ids.

All sums are int64: uint16 and int16 overflow at once.
"""

# N tokens of a stream, V vocabulary

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pgolf.core.errors import DataError

SPACE = "▁"
PieceKind = Literal["normal", "byte", "control"]


def raw_lengths(surfaces_V: Sequence[bytes], tokens_N: np.ndarray) -> np.ndarray:
    """Bytes of the decoded surface of each target ``tokens_N[1:]``: int64 [N-1]."""
    lengths_V = np.fromiter((len(surface) for surface in surfaces_V), dtype=np.int64, count=len(surfaces_V))
    return lengths_V[np.asarray(tokens_N)[1:]]


@dataclass(frozen=True, slots=True)
class ByteTable:
    """The three look-up tables of the ``table`` metric, one entry per id."""

    bytes_V: np.ndarray
    lead_V: np.ndarray
    bound_V: np.ndarray

    def target_bytes(self, tokens_N: np.ndarray) -> np.ndarray:
        """Bytes carried by each target given its predecessor: int64 [N-1]."""
        tokens_N = np.asarray(tokens_N)
        previous, target = tokens_N[:-1], tokens_N[1:]
        return self.bytes_V[target] + (self.lead_V[target] & ~self.bound_V[previous])


def byte_table(pieces: Sequence[tuple[str, PieceKind] | None]) -> ByteTable:
    """Tables from (piece, kind) by id; ``None`` is an unlisted id.

    Raises DataError for a vocabulary without a standalone space piece: a space would then fall back to the
    three bytes of U+2581 and the score would come out about a fifth too low.
    """
    size = len(pieces)
    bytes_V, lead_V, bound_V = np.zeros(size, np.int64), np.zeros(size, bool), np.ones(size, bool)
    for index, entry in enumerate(pieces):
        if entry is None or entry[1] == "control":
            continue
        piece, kind = entry
        bound_V[index] = False
        lead_V[index] = kind == "normal" and piece.startswith(SPACE)
        rest = piece[1:] if lead_V[index] else piece
        bytes_V[index] = 1 if kind == "byte" else len(rest.encode())
    if not any(entry is not None and entry == (SPACE, "normal") for entry in pieces):
        raise DataError(
            f"the vocabulary of {size} has no standalone space piece '{SPACE}': "
            "a space would count as three byte tokens and the score would be wrong"
        )
    return ByteTable(bytes_V, lead_V, bound_V)


def sidecar_bytes(tokens_N: np.ndarray, sidecar_N: np.ndarray) -> np.ndarray:
    """Bytes of each target from a per-token sidecar, read at the *target's* index: int64 [N-1].

    Raises DataError if the sidecar is not as long as the stream.
    """
    if len(tokens_N) != len(sidecar_N):
        raise DataError(f"byte sidecar has {len(sidecar_N):,} entries for {len(tokens_N):,} tokens")
    return np.asarray(sidecar_N)[1:].astype(np.int64)
