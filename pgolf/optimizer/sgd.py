"""Stochastic gradient descent with momentum for every parameter, each group at its own rate: the plainest comparison.

Formula: ``M ← μM + (G + wd·W);  W ← W − lr·M`` (Nesterov: ``G + μM`` in place of M), as ``torch.optim.SGD``: decay goes
through the momentum. Groups without decay as in ``adamw``.
Source: textbook. Cost in bytes: none in the artifact; in memory one fp32 value per weight. Cost in step time: two
passes over the weights. When it hurts: everywhere; gradients of a language model differ too much from group to group.
"""

from __future__ import annotations

import torch

from pgolf.core.protocols import Model
from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveFloat
from pgolf.optimizer.grouped import Grouped, beside_matrices, partition, with_rates


class SGDGroups(Grouped):
    """``optimizer=sgd``."""

    def __init__(
        self,
        *,
        model: Model,
        matrix_lr: PositiveFloat,
        embedding_lr: PositiveFloat,
        head_lr: PositiveFloat,
        scalar_lr: PositiveFloat,
        matrix_weight_decay: NonNegativeFloat,
        embedding_weight_decay: NonNegativeFloat,
        scalar_weight_decay: NonNegativeFloat,
        momentum: Fraction,
        nesterov: bool,
    ) -> None:
        embedding, scalar = (embedding_lr, embedding_weight_decay), (scalar_lr, scalar_weight_decay)
        rates = {"matrix": (matrix_lr, matrix_weight_decay)} | beside_matrices(embedding, head_lr, scalar)
        groups = with_rates(partition(model), rates)
        super().__init__(sgd=torch.optim.SGD(groups, momentum=momentum, nesterov=nesterov and momentum > 0))
