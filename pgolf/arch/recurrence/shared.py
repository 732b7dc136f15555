"""Depth recurrence by reference: a few layers are visited once more, right after the last of them (#860).

``0, …, c−1, R, c, …, L−1`` with c = max(R) + 1, always on. A repeated visit uses its layer's matrices and
control scalars of its own. ``pgolf.arch.untie`` gives it matrices of its own, for adaptation at test time.
Source: spec arch §8.1 (#860, after #686 and #733).
Cost: 4·D + H scalars in fp32 per repeated layer (and a row of D skip weights per further decoder visit), no
matrix. A step costs |R| more layers: 2 of 6 about a third more.
Hurts where the steps lost to its time are worth more than its depth; three layers already were (#1204).
"""

from __future__ import annotations

from collections.abc import Sequence

from pgolf.arch.dims import Dims
from pgolf.arch.recurrence.base import Recurrence, check_layers, repeat_after_last
from pgolf.arch.visits import Route, route


class Shared(Recurrence):
    """One route, ``recurrent``."""

    alone = True

    def __init__(self, *, dims: Dims, recurrent_layers: Sequence[int]) -> None:
        super().__init__()
        check_layers("recurrent_layers", recurrent_layers, dims.layers)
        self.visit_order = repeat_after_last(dims.layers, recurrent_layers)

    def routes(self) -> tuple[Route, ...]:
        return (route("recurrent", self.visit_order),)
