"""Windows side by side: every position is scored once, each window starting without context.

Rule: the sliding rule with stride = window; the last window is clipped and nothing is truncated.
Source: the challenge's plain validation (spec data §5).
Bytes: none. Time: one forward pass per token, the cheapest evaluation there is.
Hurts: the first positions of every window have hardly any context; about 0.03 bits per byte against sliding.
"""

from __future__ import annotations

from pgolf.core.prediction import Facts, Network
from pgolf.core.protocols import Model
from pgolf.core.ranges import PositiveInt
from pgolf.eval.windows import WindowPlan


class NonOverlapping:
    """See the module. ``batch_windows`` windows go through the network at a time; ``lanes``: see ``WindowPlan``."""

    name = "non_overlapping"

    def __init__(
        self,
        *,
        window: PositiveInt,
        batch_windows: PositiveInt,
        lanes: PositiveInt,
        official_truncation: bool,
    ) -> None:
        self.window = window
        self.stride = window
        self.batch_windows = batch_windows
        self.lanes = lanes
        self.official_truncation = official_truncation

    def check(self, model: Model) -> None:
        """Fits any."""

    def network(self, network: Network, facts: Facts) -> Network:
        """As it is: every window brings its context."""
        return network

    def plan(self, facts: Facts) -> WindowPlan:
        return WindowPlan(self.window, self.window, self.batch_windows, facts.targets, self.lanes)
