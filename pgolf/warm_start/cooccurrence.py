"""The embedding starts as singular vectors of which words stand beside which in the training text.

``C_ij``: how often word j came d places after word i; r and c are its sums by row and by column.
``P(C)_ij = max(0, ln(C_ij · Σ_k c_k^s / (r_i · c_j^s)) − shift)``, s = ``smoothing``, 0 where C_ij is: with shift 0
positive pointwise mutual information. Side by side stand, for each d up to ``distance``, P(C) / d and P(Cᵀ) / d, what
comes after a word and what before; row i is shrunk by ``√(n_i / (n_i + half_count))`` for a word that came n_i times.
This is ``U S Wᵀ`` in its first D directions. ``U S^power``, its axes turned at random so that each holds as much, and
scaled to a standard deviation of ``std``, is added to what arch/init has drawn.
Source: Levy and Goldberg 2014 and Levy, Goldberg and Dagan 2015 (shifted PPMI, smoothed contexts, the power of S);
Halko, Martinsson and Tropp 2011 for the singular vectors (``torch.svd_lowrank``). As the start of a language model's
tied embedding: no source known.
Cost in bytes: none but its code. Cost in time: on the training clock, 5 CPU seconds for V = 4,096 and 2.3 M tokens;
memory of 8·V²·distance bytes. Hurts: the first steps start from logits that are sure of something else, and have a
higher loss than a plain start's for about 20 of them.
"""

# Shapes: N tokens, P pairs of words that stood together, V vocab, B blocks side by side, D model, Q directions sought

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from pgolf.data.dataset import Dataset
from pgolf.train.phases import Phase
from pgolf.train.trainer import Hook, Trainer
from pgolf.warm_start.base import WarmStart

# Directions sought beyond those kept, and rounds: as exact as the singular vectors' use here can show (Halko et al.).
BEYOND, ROUNDS = 16, 2


def pairs(tokens_N: np.ndarray, vocab_size: int, distance: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns (int64 [P]) and counts (fp32 [P]) of C where it is not 0."""
    tokens_N = tokens_N.astype(np.int64)
    codes_P, counts_P = np.unique(tokens_N[:-distance] * vocab_size + tokens_N[distance:], return_counts=True)
    codes = torch.from_numpy(codes_P)
    return codes // vocab_size, codes % vocab_size, torch.from_numpy(counts_P).float()


def information(
    rows_P: Tensor, columns_P: Tensor, counts_P: Tensor, vocab_size: int, smoothing: float, shift: float
) -> Tensor:
    """``P`` of the matrix with these entries, at them: nats, fp32 [P]."""
    by_row_V = torch.zeros(vocab_size).index_add_(0, rows_P, counts_P)
    by_column_V = torch.zeros(vocab_size).index_add_(0, columns_P, counts_P) ** smoothing
    expected_P = by_row_V[rows_P] * by_column_V[columns_P] / by_column_V.sum()
    return (counts_P / expected_P).log_().sub_(shift).clamp_min_(0.0)


class Cooccurrence(WarmStart):
    """``most_tokens``: of the training text, its first. The other settings are in the module's formula."""

    def __init__(
        self,
        *,
        distance: PositiveInt,
        smoothing: Fraction,
        shift: float,
        half_count: NonNegativeFloat,
        power: Fraction,
        std: PositiveFloat,
        most_tokens: PositiveInt,
    ) -> None:
        self.distance, self.smoothing, self.shift = distance, smoothing, shift
        self.half_count, self.power, self.std, self.most_tokens = half_count, power, std, most_tokens

    def attach(self, dataset: Dataset) -> Sequence[Hook]:
        return (StartEmbedding(self, dataset),)

    def table(self, tokens_N: np.ndarray, vocab_size: int, width: int) -> Tensor:
        """What is added to the embedding: fp32 [V, D], random turns from torch's generator; zeros where nothing stood
        beside anything."""
        counts_V = torch.from_numpy(np.bincount(tokens_N, minlength=vocab_size)).float()
        shrink_V = (counts_V / (counts_V + self.half_count).clamp_min(1.0)).sqrt()
        beside_VBV = torch.zeros(vocab_size, 2 * self.distance, vocab_size)
        for d in range(1, self.distance + 1):
            before_P, after_P, counts_P = pairs(tokens_N, vocab_size, d)
            for side, (rows_P, columns_P) in enumerate(((before_P, after_P), (after_P, before_P))):
                told_P = information(rows_P, columns_P, counts_P, vocab_size, self.smoothing, self.shift)
                beside_VBV[rows_P, 2 * d - 2 + side, columns_P] = told_P * shrink_V[rows_P] / d
        u_VQ, s_Q, _ = torch.svd_lowrank(beside_VBV.flatten(1), q=min(width + BEYOND, vocab_size), niter=ROUNDS)
        kept = min(width, len(s_Q))
        turn_DD = torch.linalg.qr(torch.randn(width, width)).Q
        table_VD = (u_VQ[:, :kept] * s_Q[:kept] ** self.power) @ turn_DD[:kept]
        return table_VD * (self.std / table_VD.std().clamp_min(1e-12))


class StartEmbedding(Hook):
    def __init__(self, start: Cooccurrence, dataset: Dataset) -> None:
        self.start, self.dataset, self.done = start, dataset, False

    def phases(self) -> list[Phase]:
        return [Phase(0.0, 0.0, "before the first step: the embedding from the training text's co-occurrences")]

    @torch.no_grad()
    def before_steps(self, trainer: Trainer) -> None:
        if self.done:
            return  # the run goes on from a state that has it
        began = trainer.clock.read()
        embedding_VD, table_VD = trainer.model.embedding, None
        if trainer.replicas.rank == 0:  # sums in another order would be another table
            tokens_N = self.dataset.stream("train", self.start.most_tokens)
            table_VD = self.start.table(tokens_N, *embedding_VD.shape)
        embedding_VD.add_(trainer.replicas.shared(table_VD).to(embedding_VD))
        self.done = True
        seconds = trainer.clock.read() - began
        trainer.clock.restore(trainer.clock.elapsed + seconds)
        trainer.tell("start", f"the embedding from the training text's co-occurrences, in {seconds:.1f} s")

    def state(self) -> dict[str, Any]:
        return {"done": self.done}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.done = state["done"]
