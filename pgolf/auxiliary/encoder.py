"""The head's loss on the encoder's output joins the loss, so that half the depth already predicts the next token.

``loss + weight · CE(head, n(x_encoder))`` with the stream as the last encoder visit left it.
Source: #187, weight 0.1 (spec arch §8.2).
Cost in bytes: none. Cost in step time: the head a second time, half of the linear work at a vocabulary of 4,096.
Hurts: it was worse where it was tried (1.4135 against 1.4077 without, #187).
"""

from __future__ import annotations

from torch import Tensor

from pgolf.arch.base import rms_norm
from pgolf.arch.block import ForwardContext
from pgolf.auxiliary.base import Head, Term
from pgolf.core.protocols import Model
from pgolf.core.ranges import PositiveFloat


class EncoderLoss(Term):
    """Every model has an encoder half; ``model`` is what all terms are given."""

    def __init__(self, *, model: Model, weight: PositiveFloat) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, loss: Tensor, x_BTD: Tensor, context: ForwardContext, model: Head) -> Tensor:
        assert context.encoder_BTD is not None and context.targets_BT is not None
        return loss + self.weight * model.word_loss(rms_norm(context.encoder_BTD), context.targets_BT)
