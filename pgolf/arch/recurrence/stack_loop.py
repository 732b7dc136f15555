"""The whole stack of layers several times, as one U-Net over the effective depth (#687).

``0, …, L−1`` repeated ``loops`` times; effective layer i uses layer i mod L, and all its scalars.
Source: spec arch §8.4 (#687, ``NUM_LOOPS``).
Cost: a row of D skip weights per further decoder visit, nothing else; a step costs ``loops`` times as much.
Hurts: 5 layers twice were far worse than 10 layers in equal time (1.5362 against 1.3240), and the published
code was later found to compile wrongly; its figures are unreliable.
"""

from __future__ import annotations

from pgolf.arch.dims import Dims
from pgolf.arch.recurrence.base import Recurrence
from pgolf.arch.visits import Route, route
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt


class StackLoop(Recurrence):
    """One route, ``loops``; with ``loops: 1`` it is the plain model."""

    alone = True

    def __init__(self, *, dims: Dims, loops: PositiveInt) -> None:
        super().__init__()
        if loops < 1:
            raise ConfigError(f"arch.recurrence.loops: {loops} is out of range: at least 1")
        self.visit_order = [*range(dims.layers)] * loops

    def routes(self) -> tuple[Route, ...]:
        return (route("loops", self.visit_order, keys="physical"),)
