"""Depth recurrence by reference: a few layers are visited once more, right after the last of them (#860).

``0, …, c−1, R, c, …, L−1`` with c = max(R) + 1, always on. A repeated visit uses its layer's matrices and
control scalars of its own. ``untie_recurrence`` gives it matrices of its own, for adaptation at test time.
Source: spec arch §8.1 (#860, after #686 and #733).
Cost: 4·D + H scalars in fp32 per repeated layer (and a row of D skip weights per further decoder visit), no
matrix. A step costs |R| more layers: 2 of 6 about a third more.
Hurts where the steps lost to its time are worth more than its depth; three layers already were (#1204).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from pgolf.arch.block import Layer
from pgolf.arch.recurrence.base import Recurrence, check_layers, repeat_after_last
from pgolf.arch.unet import UNet, own_mlp_key
from pgolf.arch.visits import Schedule, schedule


class Shared(Recurrence):
    """One schedule, ``recurrent``."""

    def __init__(self, *, layers: int, recurrent_layers: Sequence[int]) -> None:
        super().__init__()
        check_layers("recurrent_layers", recurrent_layers, layers)
        self.visit_order = repeat_after_last(layers, recurrent_layers)

    def schedules(self) -> tuple[Schedule, ...]:
        return (schedule("recurrent", self.visit_order),)


def untie_recurrence(model: UNet) -> None:
    """Give every repeated visit copies of the matrices it shares, so that they can be adapted apart.

    Works for every form of recurrence, in place; the outputs stay the same and a second call does nothing.
    Call it before an optimizer is built, which would not know the copies. Controls stay keyed as they are.
    """
    for plan in model.schedules.values():
        for visit in plan.visits:
            key = own_mlp_key(visit)
            if visit.number == 0 or key in model.own_layers:
                continue
            block = model.block(visit)
            model.own_layers[key] = Layer(*copy.deepcopy((block.layer.mixer, block.mlp)))  # type: ignore[arg-type]
            if key in model.own_mlps:
                del model.own_mlps[key]
