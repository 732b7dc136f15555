"""No recurrence: every layer is visited once, in order.

``0, …, L−1``. The other options of this group return further routes over the same layers.
Source: the public baseline; spec arch §2, §7.
Cost in bytes: none. Cost in step time: none. Hurts: nothing; repeated layers gained 0.002 to 0.003 (``mini``).
"""

from __future__ import annotations

from pgolf.arch.dims import Dims
from pgolf.arch.recurrence.base import Recurrence
from pgolf.arch.visits import Route, route
from pgolf.core.ranges import PositiveInt


class NoRecurrence(Recurrence):
    """One route, ``plain``: 0, 1, …, layers−1. ``encoder_layers`` null: the floor half."""

    alone = True
    neutral = True

    def __init__(self, *, dims: Dims, encoder_layers: PositiveInt | None) -> None:
        super().__init__()
        self.layers, self.encoder_layers = dims.layers, encoder_layers

    def routes(self) -> tuple[Route, ...]:
        return (route("plain", range(self.layers), encoder=self.encoder_layers),)
