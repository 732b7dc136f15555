"""Hyper-connections: the top blocks read a mix of their input and the inputs of the blocks before them.

Shapes: B batch, T time, D model, K earlier states.

``u = w₀·(r₀⊙x + r₁⊙x0) + Σ_k w_k·x_prev(k)``; ``x_prev(k)`` is the input, after its skip, of the block k visits
earlier, and x0 where there is none. ``weights: free`` uses w as it is: with ``initial: [1, 0.3]`` the published
three-scalar form without its unused scalar. ``weights: softmax`` uses softmax(w) over the K+1 states, the first
published form. w = (1, 0, …) is the plain block.
Source: #687, ``HYPER_K`` and ``HYPER_LAYERS`` = 4 (spec arch §10.2).
Cost: K+1 fp32 weights per visit of a top layer. Time: one elementwise pass per state and block.
It hurts in that it is not the identity at the start; its gain (1.1210 against 1.1239) was later called a false
signal by its author and left out of the submission.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pgolf.arch.addon.placement import ModelFacts
from pgolf.arch.base import Part
from pgolf.arch.block import Context
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt

NAME = "hyper_connections"


class Remember(nn.Module):
    """The site ``read`` of a block below the top: keeps the inputs of the last ``states`` blocks for those above."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.states = states

    def forward(self, u_BTD: Tensor, x_BTD: Tensor, context: Context) -> Tensor:
        remember(x_BTD, self.states, context)
        return u_BTD


class Connect(Part):
    """The site ``read`` of a top block, one of the layers from ``lowest``: mixes the remembered inputs in."""

    mix: nn.Parameter

    def __init__(self, initial: Sequence[float], softmax: bool, lowest: int) -> None:
        super().__init__()
        self.softmax, self.lowest, self.states = softmax, lowest, len(initial) - 1
        self.declare_control("mix", torch.tensor(initial), "hyper_connections")

    def forward(self, u_BTD: Tensor, x_BTD: Tensor, context: Context) -> Tensor:
        assert context.visit is not None
        if context.visit.physical >= self.lowest:
            mix = self.mix.softmax(0) if self.softmax else self.mix
            u_BTD = mix[0] * u_BTD
            for k in range(1, self.states + 1):
                u_BTD = u_BTD + mix[k] * earlier(k, context)
        remember(x_BTD, self.states, context)
        return u_BTD


def earlier(k: int, context: Context) -> Tensor:
    """The input of the block ``k`` visits before the one being run."""
    return context.shared.get(f"{NAME}.{k}", context.x0_BTD)


def remember(x_BTD: Tensor, states: int, context: Context) -> None:
    """Make ``x`` the latest of the ``states`` inputs kept."""
    for k in range(states, 1, -1):
        context.shared[f"{NAME}.{k}"] = earlier(k - 1, context)
    context.shared[f"{NAME}.1"] = x_BTD


class HyperConnections:
    """The specification; ``initial`` holds w₀ and one number per earlier state, ``layers`` counts the top blocks."""

    sites = ("read",)
    order = 10

    def __init__(
        self, *, layers: PositiveInt, weights: Literal["free", "softmax"], initial: Sequence[float]
    ) -> None:
        if len(initial) < 2:
            raise ConfigError(
                f"arch.addons.{NAME}.initial: {list(initial)} has no number for an earlier state; "
                f"it takes at least two numbers"
            )
        self.layers, self.softmax, self.initial = layers, weights == "softmax", [float(w) for w in initial]

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelFacts) -> nn.Module:
        assert visit is not None
        lowest = dims.layers - self.layers
        if lowest < 0:
            raise ConfigError(
                f"arch.addons.{NAME}.layers: {self.layers} is more than the model's {dims.layers} layers"
            )
        every = (v for schedule in model.schedules.values() for v in schedule.visits)
        if any(v.key == visit.key and v.physical >= lowest for v in every):
            return Connect(self.initial, self.softmax, lowest)
        return Remember(len(self.initial) - 1)
