"""AdamW for every parameter, each group at its own rate: what Muon is compared with.

Formula: that of ``torch.optim.AdamW``, decay decoupled and following the scheduled rate. The group
``scalar_no_decay`` trains as the other scalars and never decays; so does an untied head.
Source: Loshchilov & Hutter 2019; #687's teacher (1e-3, decay 0.04, all groups alike).
Cost in bytes: none in the artifact; in memory two fp32 values per weight, twice Muon's. Cost in step time: a few passes
over the weights, less than Newton–Schulz. When it hurts: at equal steps the matrices learn less than with Muon.
"""

from __future__ import annotations

import torch

from pgolf.core.protocols import Model
from pgolf.core.ranges import Fraction, NonNegativeFloat, PositiveFloat
from pgolf.optimizer.grouped import Grouped, beside_matrices, partition, with_rates


class AdamWGroups(Grouped):
    """``optimizer=adamw``; without any decay it is Adam (``optimizer=adam``)."""

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
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
    ) -> None:
        embedding, scalar = (embedding_lr, embedding_weight_decay), (scalar_lr, scalar_weight_decay)
        rates = {"matrix": (matrix_lr, matrix_weight_decay)} | beside_matrices(embedding, head_lr, scalar)
        groups = with_rates(partition(model), rates)
        super().__init__(adamw=torch.optim.AdamW(groups, betas=(beta1, beta2), eps=epsilon))
