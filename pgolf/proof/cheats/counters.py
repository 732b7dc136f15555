"""Common ground of the cheats that count other bytes than the text has. Not a cheat itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pgolf.core.protocols import Tokenizer
from pgolf.eval.evaluation import Evaluation


class Miscounted:
    """``tokenizer``, whose tokens carry ``more_V`` bytes more than they do."""

    def __init__(self, tokenizer: Tokenizer, more_V: np.ndarray) -> None:
        self.tokenizer, self.more_V = tokenizer, more_V
        self.name, self.vocab_size, self.bos_id = tokenizer.name, tokenizer.vocab_size, tokenizer.bos_id
        self.metric: Any = tokenizer.metric  # type: ignore[attr-defined]

    def encode(self, text: str) -> np.ndarray:
        return self.tokenizer.encode(text)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        return self.tokenizer.decode(ids)

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        return self.tokenizer.byte_lengths(tokens_N) + self.more_V[tokens_N[1:]]


def miscounting(evaluation: Evaluation, more: Callable[[str], int]) -> Evaluation:
    """``evaluation`` with ``more`` bytes for a token with that surface."""
    tokenizer = evaluation.tokenizer
    more_V = np.array([more(tokenizer.decode([token])) for token in range(tokenizer.vocab_size)])
    return dataclasses.replace(evaluation, tokenizer=Miscounted(tokenizer, more_V))
