"""Common ground of the cheating experts: a wrapper around the honest network. Not a cheat itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pgolf.core.protocols import Expert


class WrappedExpert:
    """Behaves as the expert it wraps; forks keep the subclass and copy tensors among its attributes."""

    def __init__(self, expert: Expert) -> None:
        self.expert = expert

    def log_probs(self, inputs_BT: Tensor, keep: int) -> Tensor:
        return self.expert.log_probs(inputs_BT, keep)

    def observe(self, tokens_N: Tensor) -> None:
        self.expert.observe(tokens_N)

    def fork(self) -> Any:
        copy = type(self).__new__(type(self))
        for name, value in self.__dict__.items():
            copy.__dict__[name] = value.clone() if isinstance(value, torch.Tensor) else value
        copy.expert = self.expert.fork()
        return copy


class CountingExpert(WrappedExpert):
    """Also counts how often each token of a vocabulary of V was observed (``counts_V``)."""

    def __init__(self, expert: Expert, vocab_size: int) -> None:
        super().__init__(expert)
        self.counts_V = torch.zeros(vocab_size)

    def observe(self, tokens_N: Tensor) -> None:
        super().observe(tokens_N)
        self.counts_V = self.counts_V + torch.bincount(tokens_N, minlength=len(self.counts_V))
