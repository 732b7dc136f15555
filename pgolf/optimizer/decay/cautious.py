"""Shrink only the weights that the update shrinks too.

Formula: ``W ← W − lr·wd·W·[U·W ≥ 0]``, U the update that is subtracted next, lr the scheduled rate.
Source: cautious weight decay (arXiv 2510.12402), modded-nanogpt; there the decay is multiplied by the rate once more,
    and by the shape's factor.
Cost in bytes: fewer are saved than by ``decoupled``, since about half of the weights decay in a step.
Cost in step time: three passes over the weights. When it hurts: where decay is meant to save bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class Cautious:
    """``optimizer/decay=cautious``."""

    def __init__(self) -> None:
        pass

    def __call__(self, weights: list[Tensor], updates: Sequence[Tensor], rate: float) -> None:
        for weight, update in zip(weights, updates, strict=True):
            weight.sub_(weight * (weight * update >= 0), alpha=rate)
