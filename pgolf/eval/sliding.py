"""Sliding windows: every position is scored once, with at least ``window - stride`` positions of context.

Rule: starts w = 0, S, 2S, … while w + L - S < T'; the first window scores all, each later one its last S.
Source: the challenge's sliding-window evaluation with the duplicate tail windows removed (spec data §5).
Bytes: none. Time: L/S forward passes per token. Gain: 0.02 to 0.03 bits per byte at L=2048, S=64.
Hurts: evaluation time grows as 1/S; below S = L/8 little is left to gain.
"""

from __future__ import annotations

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Network
from pgolf.core.protocols import Model
from pgolf.core.ranges import PositiveInt
from pgolf.eval.windows import WindowPlan, check_lengths


class Sliding:
    """See the module. ``batch_windows`` windows go through the network at a time; ``lanes``: see ``WindowPlan``."""

    name = "sliding"

    def __init__(
        self,
        *,
        window: PositiveInt,
        stride: PositiveInt,
        batch_windows: PositiveInt,
        lanes: PositiveInt,
        official_truncation: bool,
    ) -> None:
        check_lengths("eval", window, stride)
        self.window = window
        self.stride = stride
        self.batch_windows = batch_windows
        self.lanes = lanes
        self.official_truncation = official_truncation

    def check(self, model: Model) -> None:
        """Fits any."""

    def network(self, network: Network, facts: Facts) -> Network:
        """As it is: every window brings its context. Raises ConfigError for one that would change within a window."""
        if network.cadence is not None and self.window % self.stride:
            raise ConfigError(
                f"eval.stride: {self.stride} does not divide the window of {self.window} positions, and chunks of what "
                "adapts would end within one. Choose one that does, or ttt=none"
            )
        return network

    def plan(self, facts: Facts) -> WindowPlan:
        return WindowPlan(self.window, self.stride, self.batch_windows, facts.targets, self.lanes)
