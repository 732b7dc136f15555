"""Tokens to bytes and back, each by its row of probabilities: -log2 p bits a token, and no model of its own.

Source: range coding (Martin 1979) as the library constriction has it; rows become frequencies of 24 bits, every token
at least one, so that a token costs what its row says within 2^-24 of V. Both sides need the same bits of every row.
"""

from __future__ import annotations

import constriction
import numpy as np

_FAMILY = constriction.stream.model.Categorical(perfect=False)  # the other way is a thousand times slower


class RangeWriter:
    """``tokens`` counts what was written."""

    def __init__(self) -> None:
        self._encoder = constriction.stream.queue.RangeEncoder()
        self.tokens = 0

    def write(self, token: int, row_V: np.ndarray) -> None:
        """``row_V`` float32; it need not sum to one: who claims more than it has pays. Raises ValueError."""
        self._encoder.encode(np.array([token], dtype=np.int32), _FAMILY, _checked(row_V)[None])
        self.tokens += 1

    def data(self) -> bytes:
        """At most four bytes more than the tokens' bits."""
        return self._encoder.get_compressed().astype("<u4").tobytes()


class RangeReader:
    """Reads what a ``RangeWriter`` wrote; bytes that are something else give other tokens, not an error."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for bytes that no writer leaves."""
        if len(data) % 4:
            raise ValueError(f"{len(data)} bytes are no whole words of four")
        self._decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, dtype="<u4").astype(np.uint32))

    def read(self, row_V: np.ndarray) -> int:
        return int(self._decoder.decode(_FAMILY, _checked(row_V)[None])[0])


def _checked(row_V: np.ndarray) -> np.ndarray:
    """The library takes negative entries without a word."""
    if not (row_V.min() >= 0 and np.isfinite(row_V).all()):
        raise ValueError("a row with entries that are no probabilities")
    return np.ascontiguousarray(row_V, dtype=np.float32)
