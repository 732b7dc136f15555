"""The embedding starts as singular vectors of which words stand beside which in the training text.

``C_ij = Σ_d (how often word j came d places after word i) / d``, d = 1 … ``distance``; r and c are its sums by row and
by column. ``PPMI(C)_ij = max(0, ln(C_ij · Σ_k c_k^s / (r_i · c_j^s)))``, s = ``smoothing``. ``[PPMI(C), PPMI(Cᵀ)]``,
what follows a word and what goes before it, with row i times ``√(n_i / (n_i + half_count))`` for a word that came n_i
times, is ``U S Wᵀ`` in its first D directions. ``U S^power``, its axes turned at random so that each holds as much, and
scaled to a standard deviation of ``std``, is added to what arch/init has drawn.
Source: Levy, Goldberg and Dagan 2015 (Improving distributional similarity: PPMI, its smoothing of 0.75, the power
of S); Halko, Martinsson and Tropp 2011 for the singular vectors (``torch.svd_lowrank``). For a tied embedding in a
language model: no source known.
Cost in bytes: none but its code. Cost in time: seconds of the training budget (V = 4,096 and 2.3 M tokens: 3), and
memory of 8·V² bytes, three times over. Hurts: not known to; a first step from logits that already mean something.
"""

# Shapes: N tokens, P pairs of words that stood together, V vocab, D model, Q directions sought

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
    """Rows, columns (int64 [P]) and weights (fp32 [P]) of C where it is not 0."""
    tokens_N = tokens_N.astype(np.int64)
    c_VV = torch.zeros(vocab_size * vocab_size)
    for d in range(1, distance + 1):
        codes, counts = np.unique(tokens_N[:-d] * vocab_size + tokens_N[d:], return_counts=True)
        c_VV[torch.from_numpy(codes)] += torch.from_numpy(counts).float() / d
    found_P = c_VV.nonzero().squeeze(1)
    return found_P // vocab_size, found_P % vocab_size, c_VV[found_P]


def ppmi(rows_P: Tensor, columns_P: Tensor, weights_P: Tensor, vocab_size: int, smoothing: float) -> Tensor:
    """Positive pointwise mutual information in nats, fp32 [P], of the matrix with these entries."""
    by_row_V = torch.zeros(vocab_size).index_add_(0, rows_P, weights_P)
    by_column_V = torch.zeros(vocab_size).index_add_(0, columns_P, weights_P) ** smoothing
    expected_P = by_row_V[rows_P] * by_column_V[columns_P] / by_column_V.sum()
    return (weights_P / expected_P).log_().clamp_min_(0.0)


class Cooccurrence(WarmStart):
    """``most_tokens``: of the training text, its first. The other settings are in the module's formula."""

    def __init__(
        self,
        *,
        distance: PositiveInt,
        smoothing: Fraction,
        half_count: NonNegativeFloat,
        power: Fraction,
        std: PositiveFloat,
        most_tokens: PositiveInt,
    ) -> None:
        self.distance, self.smoothing, self.half_count = distance, smoothing, half_count
        self.power, self.std, self.most_tokens = power, std, most_tokens

    def attach(self, dataset: Dataset) -> Sequence[Hook]:
        return (StartEmbedding(self, dataset),)

    def table(self, tokens_N: np.ndarray, vocab_size: int, width: int) -> Tensor:
        """What is added to the embedding: fp32 [V, D], random turns from torch's generator; zeros where nothing stood
        beside anything."""
        before_P, after_P, weights_P = pairs(tokens_N, vocab_size, self.distance)
        counts_V = torch.from_numpy(np.bincount(tokens_N, minlength=vocab_size)).float()
        shrink_V = (counts_V / (counts_V + self.half_count).clamp_min(1.0)).sqrt()
        beside_V2V = torch.zeros(vocab_size, 2 * vocab_size)
        following_P = ppmi(before_P, after_P, weights_P, vocab_size, self.smoothing)
        beside_V2V[before_P, after_P] = following_P * shrink_V[before_P]
        preceding_P = ppmi(after_P, before_P, weights_P, vocab_size, self.smoothing)
        beside_V2V[after_P, vocab_size + before_P] = preceding_P * shrink_V[after_P]
        u_VQ, s_Q, _ = torch.svd_lowrank(beside_V2V, q=min(width + BEYOND, vocab_size), niter=ROUNDS)
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
