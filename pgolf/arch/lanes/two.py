"""What the options with two lanes share: where the stream splits, and with which routes that can be.

From the physical layer ``start`` on, attention reads lane 0 and the MLP reads lane 1. The addon site
``block_out`` acts on lane 1, the MLP's, once per block: its ``x_BTD`` is lane 1 before the block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import Lanes, ResidualStream
from pgolf.arch.visits import Route
from pgolf.core.errors import ConfigError

Allocate = Literal["used", "all"]
# What the numbers of a layer's row are: what is kept of each lane, and from which sublayer to whose lane.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "keep": ("keep attn", "keep mlp"),
    "attention_writes": ("attn→attn", "attn→mlp"),
    "mlp_writes": ("mlp→attn", "mlp→mlp"),
}


class TwoLanes(Lanes):
    """``start`` is the first physical layer with two lanes.

    Parameters are keyed by physical layer, in rows ``row(layer)`` of tensors with ``rows`` rows: those of the
    layers from ``start`` on, or of every layer where ``allocate`` is ``all`` (the published tensors).
    """

    lanes = 2

    def __init__(self, dims: Dims, start: int, allocate: Allocate) -> None:
        super().__init__()
        check_start(start, dims.layers)
        self.start = start
        self.first = start if allocate == "used" else 0
        self.rows = dims.layers - self.first

    def row(self, layer: int) -> int:
        return layer - self.first

    def split(self, stream: ResidualStream) -> tuple[Tensor, Tensor]:
        """The two lanes; both are the single stream where it has not split yet."""
        return (stream[0], stream[0]) if len(stream) == 1 else (stream[0], stream[1])

    def check(self, routes: Mapping[str, Route], layers: int) -> None:
        """Raise ConfigError where a skip would store one lane, or lanes would have to join again."""
        check_start(self.start, layers)
        problems = [p for s in routes.values() if (p := _problem(s, self.start))]
        if problems:
            legal = [start for start in range(layers) if not any(_problem(route, start) for route in routes.values())]
            choices = f"lanes can start from {', '.join(map(str, legal))}" if legal else "no layer would do"
            raise ConfigError(f"{problem}; {choices}" for problem in problems)


def check_start(start: int, layers: int) -> None:
    """Raise ConfigError unless ``start`` is a layer."""
    if not 0 <= start < layers:
        raise ConfigError(f"arch.lanes.start: {start} out of range; the layers are 0..{layers - 1}")


def add_write(lane_BTD: Tensor, keep: Tensor, *writes: tuple[Tensor, Tensor | None]) -> Tensor:
    """``keep · lane + Σ weight · written``, where None was written by a layer without that sublayer."""
    lane_BTD = keep * lane_BTD
    for weight, written_BTD in writes:
        if written_BTD is not None:
            lane_BTD = lane_BTD + weight * written_BTD
    return lane_BTD


def _problem(route: Route, start: int) -> str | None:
    """What keeps ``route`` from running with lanes from ``start``, or None."""
    split = False
    for visit in route.visits:
        place = f"visit {visit.virtual} of route {route.name!r} runs layer {visit.physical}"
        if visit.physical >= start:
            split = True
            if visit.half == "encoder":
                return f"arch.lanes.start: {start}, but {place} in the encoder half, whose skips hold one stream"
        elif split:
            return f"arch.lanes.start: {start}, but {place} after the lanes have split"
    return None
