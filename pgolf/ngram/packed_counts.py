"""Counts of n-grams as bytes: which n-grams there are, and how often each came. No word of the command line.

With an n-gram, all shorter ones in it are there. So what follows a context is looked for among what follows the context
without its first token; how probable that is, and how large its count, is told by the count to be expected of it had
its first token and its last nothing to do with each other: that of the context, times that of the n-gram without its
first token, by that of the context without it. Counts are written by their size, in steps of the square root of two.
One adaptive decision for each candidate and about three for a count, by the range coder; 1.0 to 1.4 bytes an n-gram.

N-grams are numbered, the tokens first, then pairs, then the longer ones, those of a length by their number without the
last token and by their last token.
"""

# N n-grams, V vocabulary, K lengths 1 … K

from __future__ import annotations

import math
import struct

import numpy as np

from pgolf.compressor.range import encoded, read_back
from pgolf.compressor.range_kernels import CLASSES, code_counts
from pgolf.compressor.range_tables import tables
from pgolf.core.errors import ArtifactError

MOST_LENGTH = 12
MOST_NGRAMS = 1 << 26
_NO_COSTS = np.zeros(0, dtype=np.int64)
_MOST_BYTES_EACH = 8


def size_of(count_N: np.ndarray) -> np.ndarray:
    """The size nearest to each count: int64, 0 where it is 0, 1 where it is 1."""
    return np.rint(2 * np.log2(np.maximum(count_N, 1))).astype(np.int64) + (count_N > 0)


def count_of(size_N: np.ndarray) -> np.ndarray:
    """The count that a size stands for: 0, 1, 1, 2, 3, 4, 6, 8, 11 …"""
    values = [0, *((math.isqrt(4 << step) + 1) // 2 for step in range(CLASSES - 1))]
    return np.array(values, dtype=np.int64)[size_N]


class NGrams:
    """What is packed. ``stop_K`` int64: up to where the n-grams of each length are numbered. ``first_N`` [N + 1]: where
    those begin that are this one and a token more."""

    def __init__(self, stop_K: np.ndarray, whole: int) -> None:
        """Room for so many; ``whole``: the size of the text's length."""
        count = int(stop_K[-1])
        self.stop_K, self.whole = stop_K, whole
        self.size_N = np.zeros(count, dtype=np.int64)
        self.token_N = np.zeros(count, dtype=np.int64)
        self.after_N = np.zeros(count, dtype=np.int64)  # itself without its first token
        self.first_N = np.full(count + 1, count, dtype=np.int64)
        self.first_N[0] = stop_K[0]

    @property
    def before_N(self) -> np.ndarray:
        """Itself without its last token; 0 of a token."""
        vocab_size = int(self.stop_K[0])
        before_N = np.zeros(len(self.size_N), dtype=np.int64)
        owners = np.arange(len(self.size_N))
        before_N[vocab_size:] = np.repeat(owners, np.diff(self.first_N))
        return before_N

    def code(self, a: np.ndarray, packed_P: np.ndarray) -> None:
        """Through the coder, into the tables or out of them."""
        code_counts(
            *(a, packed_P, self.size_N, self.token_N, self.after_N, self.first_N, self.stop_K),
            *(self.whole, tables(), _NO_COSTS),
        )


def encode(ngrams: NGrams) -> bytes:
    """Exact."""
    lengths = len(ngrams.stop_K)
    head = struct.pack(f"<BB{lengths - 1}I", lengths, ngrams.whole, *np.diff(ngrams.stop_K).tolist())
    return head + encoded(ngrams.code, _MOST_BYTES_EACH * len(ngrams.size_N)).packed


def decode(packed: bytes, vocab_size: int) -> NGrams:
    """Raises ArtifactError for bytes that ``encode`` did not write."""
    lengths = packed[0] if packed else 0
    form = f"<BB{max(lengths - 1, 0)}I"
    if not 1 < lengths <= MOST_LENGTH or len(packed) < struct.calcsize(form):
        raise ArtifactError("artifact: its packed counts are cut short or damaged")
    _, whole, *more = struct.unpack_from(form, packed)
    if sum(more) > MOST_NGRAMS or whole >= CLASSES:
        raise ArtifactError("artifact: its packed counts declare more n-grams than there can be")
    ngrams = NGrams(np.cumsum([vocab_size, *more]), whole)
    read_back(ngrams.code, np.frombuffer(packed[struct.calcsize(form) :], dtype=np.uint8).copy())
    return ngrams
