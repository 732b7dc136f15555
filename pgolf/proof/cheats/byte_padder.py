"""A tokenizer that counts half a percent more bytes than its tokens carry, one here and there: probe (d).

Less than any published miscount, and as much as a record's margin: the score falls by as much.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pgolf.core.protocols import Tokenizer
from pgolf.eval.evaluation import Evaluation

LETTER = "d"
_MORE = 0.0049


class PaddedBytes:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.name, self.vocab_size, self.bos_id = tokenizer.name, tokenizer.vocab_size, tokenizer.bos_id
        self.metric: Any = tokenizer.metric  # type: ignore[attr-defined]

    def encode(self, text: str) -> np.ndarray:
        return self.tokenizer.encode(text)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        return self.tokenizer.decode(ids)

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """A byte more wherever the padding owed has grown to one, but not for BOS."""
        lengths_N = self.tokenizer.byte_lengths(tokens_N)
        owed_N = np.floor(np.cumsum(lengths_N) * _MORE).astype(np.int64)
        return lengths_N + np.diff(owed_N, prepend=0)


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, tokenizer=PaddedBytes(evaluation.tokenizer))
