"""A tokenizer that counts the space a token begins with twice: probe (d).

The denominator grows by about a sixth and the score falls by as much (#1545, #1576, #1632, #1672).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pgolf.core.protocols import Tokenizer
from pgolf.eval.evaluation import Evaluation

LETTER = "d"


class SpacesTwice:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.name, self.vocab_size, self.bos_id = tokenizer.name, tokenizer.vocab_size, tokenizer.bos_id
        self.metric: Any = tokenizer.metric  # type: ignore[attr-defined]
        self.spaced_V = np.array([tokenizer.decode([i]).startswith(" ") for i in range(tokenizer.vocab_size)])

    def encode(self, text: str) -> np.ndarray:
        return self.tokenizer.encode(text)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        return self.tokenizer.decode(ids)

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        return self.tokenizer.byte_lengths(tokens_N) + self.spaced_V[tokens_N[1:]]


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, tokenizer=SpacesTwice(evaluation.tokenizer))
