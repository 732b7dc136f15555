"""Hyper-connections: the top blocks read a mix of their input and of the blocks before them.

Shapes: B batch, T time, D model, K earlier blocks.

| ``weights`` | what a block reads | s_k, of the block k visits earlier |
|---|---|---|
| ``free`` | ``w₀·(r₀⊙x + r₁⊙x0) + Σ_k w_k·s_k`` | its input, after its skip |
| ``softmax`` | ``p₀·x + Σ_k p_k·s_k``, p = softmax(w), in place of the residual mix r | its output |

s_k is x0 where there is no such block. ``free`` with ``initial: [1, 0.3]`` is the published form without its unused
scalar; w = (1, 0, …) is then the plain block. ``softmax`` is the form before it: r gets no gradient where it acts.
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

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt

NAME = "hyper_connections"


class KeepInput(Part):
    """The site ``read`` of a block below the top: keeps the inputs of the last ``states`` blocks for those above."""

    alone = True

    def __init__(self, states: int) -> None:
        super().__init__()
        self.states = states

    def forward(self, u_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        remember(x_BTD, self.states, context)
        return u_BTD


class KeepOutput(Part):
    """The site ``block_out`` of every block: keeps the outputs of the last ``states`` blocks."""

    alone = True

    def __init__(self, states: int) -> None:
        super().__init__()
        self.states = states

    def forward(self, y_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        remember(y_BTD, self.states, context)
        return y_BTD


class Connect(Part):
    """The site ``read`` of a top block, one of the layers from ``lowest``."""

    alone = True

    mix: nn.Parameter

    def __init__(self, initial: Sequence[float], lowest: int) -> None:
        super().__init__()
        self.lowest, self.states = lowest, len(initial) - 1
        self.declare_control("mix", torch.tensor(initial), "hyper_connections")

    def acts(self, context: ForwardContext) -> bool:
        """Whether the visit being run is a top layer's: controls may be shared with visits of lower ones."""
        assert context.visit is not None
        return context.visit.physical >= self.lowest

    def mixed(self, first_BTD: Tensor, weights: Tensor, context: ForwardContext) -> Tensor:
        """``weights₀·first + Σ_k weights_k·s_k``."""
        y_BTD = weights[0] * first_BTD
        for k in range(1, self.states + 1):
            y_BTD = y_BTD + weights[k] * earlier(k, context)
        return y_BTD


class ConnectInputs(Connect):
    """``weights: free``."""

    def forward(self, u_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        if self.acts(context):
            u_BTD = self.mixed(u_BTD, self.mix, context)
        remember(x_BTD, self.states, context)
        return u_BTD


class ConnectOutputs(Connect):
    """``weights: softmax``; what the residual mix made of the input is dropped."""

    def forward(self, u_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        return self.mixed(x_BTD, self.mix.softmax(0), context) if self.acts(context) else u_BTD


def earlier(k: int, context: ForwardContext) -> Tensor:
    """What was kept of the block ``k`` visits before the one being run."""
    return context.shared.get(f"{NAME}.{k}", context.x0_BTD)


def remember(x_BTD: Tensor, states: int, context: ForwardContext) -> None:
    """Make ``x`` the latest of the ``states`` tensors kept."""
    for k in range(states, 1, -1):
        context.shared[f"{NAME}.{k}"] = earlier(k - 1, context)
    context.shared[f"{NAME}.1"] = x_BTD


class HyperConnections(Addon):
    """The specification; ``initial`` holds w₀ and one number per earlier block, ``layers`` counts the top blocks."""

    most_reads = 1
    why = "mixes what a block reads"
    order = 10

    def __init__(self, *, layers: PositiveInt, weights: Literal["free", "softmax"], initial: Sequence[float]) -> None:
        if len(initial) < 2:
            raise ConfigError(
                f"arch.addons.{NAME}.initial: {list(initial)} has no number for an earlier block; "
                f"it takes at least two numbers"
            )
        self.layers, self.softmax, self.initial = layers, weights == "softmax", [float(w) for w in initial]
        self.sites = ("read", "block_out") if self.softmax else ("read",)
        self.keep_output = KeepOutput(len(initial) - 1)
        if self.softmax:
            self.most_lanes, self.why = 1, "mixes the outputs of whole blocks"

    def order_at(self, site: str) -> int:
        return 100 if site == "block_out" else self.order  # an output is what all others have made of it

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        assert visit is not None
        lowest = dims.layers - self.layers
        if lowest < 0:
            raise ConfigError(f"arch.addons.{NAME}.layers: {self.layers} is more than the model's {dims.layers} layers")
        if site == "block_out":
            return self.keep_output
        if all(v.physical < lowest for v in model.sharing(visit)):
            return None if self.softmax else KeepInput(len(self.initial) - 1)
        return (ConnectOutputs if self.softmax else ConnectInputs)(self.initial, lowest)
