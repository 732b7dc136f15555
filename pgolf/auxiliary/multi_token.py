"""Multi-token prediction: the final stream also predicts the tokens after the next one.

``loss + Σ_k w_k(f) · CE(z_k(x_t), y_{t+k})`` for k = 1, 2, … further tokens; z_k is the model's own capped head
(``heads: shared``) or a head of its own, zero at the start (``heads: own``). w_k(f) is ``weights[k]`` until the
fraction f of the run reaches ``fades[k][0]`` and falls linearly to 0 at ``fades[k][1]``; ``fades: null`` keeps it.
Source: Gloeckle et al. 2024 (arXiv 2404.19737), own heads; modded-nanogpt, one head, and weights that fall to 0 in
turn; #549 has it as ``MTP_NUM_HEADS``, off, its heads zero and in no optimizer group, so without any effect.
Cost in bytes: none, own heads are trained and thrown away. Cost in step time: the head once more for each further
token, also after its weight has fallen to 0, since the graph stays.
Hurts: a small model has little to spare for what it cannot predict anyway.
"""

# Shapes: B batch, T time, D model, V vocab

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pgolf.arch.block import ForwardContext
from pgolf.arch.head_loss import capped_cross_entropy
from pgolf.auxiliary.base import Head, Term
from pgolf.core.errors import ConfigError
from pgolf.core.protocols import Model
from pgolf.core.ranges import Fraction, PositiveFloat

PLACE = "auxiliary.multi_token"


class MultiToken(Term):
    """As many further tokens as there are ``weights``."""

    follows_progress = True
    strengths: Tensor

    def __init__(
        self,
        *,
        model: Model,
        weights: Sequence[PositiveFloat],
        fades: Sequence[Sequence[Fraction]] | None,
        heads: Literal["own", "shared"],
    ) -> None:
        super().__init__()
        if not weights or any(not 0 < weight < float("inf") for weight in weights):
            raise ConfigError(f"{PLACE}.weights: {list(weights)}; one number above 0 for each further token")
        if fades is not None:
            _check_fades(fades, len(weights))
        self.weights, self.fades, self.own = tuple(weights), fades, heads == "own"
        table_VD = model.output_table
        if self.own:
            for k in range(len(weights)):
                head_VD = torch.zeros_like(table_VD, dtype=torch.float32)
                self.declare(f"head_{k}", head_VD, group="head", storage="keep_fp32", component="multi_token")
        strengths = torch.tensor(self.weights, dtype=torch.float32, device=table_VD.device)
        self.register_buffer("strengths", strengths, persistent=False)

    def at_progress(self, fraction: float) -> None:
        if self.fades is not None:
            now = [w * _left(fraction, *fade) for w, fade in zip(self.weights, self.fades, strict=True)]
            self.strengths.copy_(torch.tensor(now))

    def forward(self, loss: Tensor, x_BTD: Tensor, context: ForwardContext, model: Head) -> Tensor:
        assert context.targets_BT is not None
        for k, strength in enumerate(self.strengths.unbind()):
            further = k + 1
            x, y = x_BTD[:, :-further], context.targets_BT[:, further:]
            loss = loss + strength * self._word_loss(k, x, y, model)
        return loss

    def _word_loss(self, k: int, x_BTD: Tensor, targets_BT: Tensor, model: Head) -> Tensor:
        if not self.own:
            return model.word_loss(x_BTD, targets_BT)
        head_VD: Tensor = getattr(self, f"head_{k}")
        return capped_cross_entropy(x_BTD.flatten(0, 1), head_VD, targets_BT.flatten(), model.softcap)


def _check_fades(fades: Sequence[Sequence[float]], tokens: int) -> None:
    wrong = [fade for fade in fades if len(fade) != 2 or not 0 <= fade[0] < fade[1] <= 1]
    if wrong or len(fades) != tokens:
        raise ConfigError(
            f"{PLACE}.fades: {[list(fade) for fade in fades]}; for each of {tokens} further tokens two rising "
            "fractions of the run, or null for all"
        )


def _left(fraction: float, start: float, end: float) -> float:
    """What is left of a weight that falls linearly from ``start`` to ``end``."""
    return min(1.0, max(0.0, (end - fraction) / (end - start)))
