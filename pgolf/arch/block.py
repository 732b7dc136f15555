"""A block: one visit to a layer, with named sites where addons hang (style 16).

Shapes: B batch, T time, D model, H query heads, G key/value heads, K head size.

| site | called as | may change |
|---|---|---|
| ``read`` | ``part(u_BTD, x_BTD, context)`` | what the block reads; ``x_BTD`` is the stream before the x0 mix |
| ``attention_in`` | ``part(h_BTD, context)`` | the normed input of attention |
| ``value`` | ``part(v_BTGK, context)`` | the values, before attention consumes them |
| ``heads`` | ``part(y_BTHK, v_BTGK, h_BTD, context)`` | each head's output, before the output projection |
| ``attention_out`` | ``part(y_BTD, context)`` | what attention writes, before its scale |
| ``mlp_in`` | ``part(h_BTD, context)`` | the normed input of the MLP |
| ``mlp_out`` | ``part(y_BTD, context)`` | what the MLP writes, before its scale |
| ``block_out`` | ``part(y_BTD, x_BTD, context)`` | the stream after the block; ``x_BTD`` is the stream before it |

The order of parts within a site is fixed by their specifications' ``order``, not by the command line. An
empty site is an empty list: it costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pgolf.arch.base import FeedForward, Part, SequenceMixer, all_of_the_first, rms_norm
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit

BLOCK_SITES = (
    "read",
    "attention_in",
    "value",
    "heads",
    "attention_out",
    "mlp_in",
    "mlp_out",
    "block_out",
)
Sites = Mapping[str, Sequence[nn.Module]]
T = TypeVar("T")


@dataclass(slots=True)
class ForwardContext:
    """What the parts of one forward pass may read and share.

    ``x0_BTD`` is the stream's start. ``targets_BT`` is there in training only, for auxiliary losses; whoever
    has one appends it (a scalar, in nats) to ``auxiliary``. ``shared`` holds what one part leaves for others,
    under the addon's name. ``visit`` is the one being run: parts of visits that share a control key are shared.
    ``head`` is, for the site ``output``, the matrix [V, D] that scores words and the cap of the logits. ``mlp_in_BTD``:
    what the last MLP so far was given. ``told``: vectors that were asked for, by name.
    ``encoder_BTD``: the stream as the last encoder visit so far left it.
    """

    ids_BT: Tensor
    x0_BTD: Tensor
    targets_BT: Tensor | None = None
    shared: dict[str, Any] = field(default_factory=dict)
    auxiliary: list[Tensor] = field(default_factory=list)
    visit: Visit | None = None
    head: tuple[Tensor, float] | None = None
    mlp_in_BTD: Tensor | None = None
    told: dict[str, Tensor] = field(default_factory=dict)
    encoder_BTD: Tensor | None = None


class Layer(Part):
    """The matrices of one physical layer, shared by all visits to it.

    ``mixer`` moves information between positions (attention, or a state-space mixer); either may be absent.
    """

    alone = True

    def __init__(self, mixer: SequenceMixer | None, mlp: FeedForward | None) -> None:
        super().__init__()
        self.mixer = mixer
        self.mlp = mlp


class Controls(Part):
    """The scalars of one visit: residual mix (1, 0), sublayer scales 1, query gain where there are queries.

    ``layers`` are those of all visits that use these controls: what one of them needs is there. ``activation`` is
    what the MLP's ``own_activation`` made, if anything.
    """

    alone = True
    residual_mix: nn.Parameter
    mixer_scale: nn.Parameter
    mlp_scale: nn.Parameter
    q_gain: nn.Parameter | None

    def __init__(self, dims: Dims, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.declare_control("residual_mix", all_of_the_first(dims.width))
        if any(layer.mixer is not None for layer in layers):
            self.declare_control("mixer_scale", torch.ones(dims.width))
        if any(layer.mlp is not None for layer in layers):
            self.declare_control("mlp_scale", torch.ones(dims.width))
        gain = _first(layer.mixer.qk_gain for layer in layers if layer.mixer is not None)
        if gain is None:
            self.q_gain = None
        else:
            self.declare_control("q_gain", torch.full((dims.heads,), float(gain)))
        self.activation = _first(layer.mlp.own_activation() for layer in layers if layer.mlp is not None)


def _first(found: Iterable[T | None]) -> T | None:
    """The first that is not None, or None; the others are not made."""
    return next((value for value in found if value is not None), None)


class Block:
    """One visit: a layer's matrices with this visit's MLP, controls and site parts. Owns no parameters."""

    def __init__(self, visit: Visit, layer: Layer, mlp: FeedForward | None, controls: Controls, sites: Sites) -> None:
        self.visit, self.layer, self.mlp, self.controls, self.sites = visit, layer, mlp, controls, sites

    def forward(self, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        """The plain block on a stream of one tensor: attention, then the MLP, each adding to what it has read.

        Options of arch/lanes put reading, writing and adding together in other ways.
        """
        u_BTD = self.read(x_BTD, context)
        attended_BTD = self.attend(u_BTD, context)
        if attended_BTD is not None:
            u_BTD = u_BTD + attended_BTD
        fed_BTD = self.feed_forward(u_BTD, context)
        if fed_BTD is not None:
            u_BTD = u_BTD + fed_BTD
        return self.leave(u_BTD, x_BTD, context)

    def read(self, x_BTD: Tensor, context: ForwardContext, mix: Tensor | None = None) -> Tensor:
        """``r₀⊙x + r₁⊙x0``; lanes call it once for each sublayer that reads a lane of its own, and may bring
        that lane's ``mix`` [2, D]."""
        mix = self.controls.residual_mix if mix is None else mix
        u_BTD = mix[0] * x_BTD + mix[1] * context.x0_BTD
        for part in self.sites["read"]:
            u_BTD = part(u_BTD, x_BTD, context)
        return u_BTD

    def attend(self, u_BTD: Tensor, context: ForwardContext) -> Tensor | None:
        """What attention adds to the stream, ``a ⊙ Attn(n(u))``; None in a layer without it."""
        if self.layer.mixer is None:
            return None
        h_BTD = rms_norm(u_BTD)
        for part in self.sites["attention_in"]:
            h_BTD = part(h_BTD, context)
        y_BTD = self.layer.mixer(h_BTD, self.controls.q_gain, self.sites, context)
        for part in self.sites["attention_out"]:
            y_BTD = part(y_BTD, context)
        return self.controls.mixer_scale * y_BTD

    def feed_forward(self, u_BTD: Tensor, context: ForwardContext) -> Tensor | None:
        """What the MLP adds to the stream, ``b ⊙ MLP(n(u))``; None in a layer without one."""
        if self.mlp is None:
            return None
        h_BTD = rms_norm(u_BTD)
        for part in self.sites["mlp_in"]:
            h_BTD = part(h_BTD, context)
        context.mlp_in_BTD = h_BTD
        own = self.controls.activation
        y_BTD = self.mlp(h_BTD) if own is None else self.mlp(h_BTD, own)
        for part in self.sites["mlp_out"]:
            y_BTD = part(y_BTD, context)
        return self.controls.mlp_scale * y_BTD

    def leave(self, y_BTD: Tensor, x_BTD: Tensor, context: ForwardContext) -> Tensor:
        """The stream after the block, from ``y`` and the stream ``x`` before it."""
        for part in self.sites["block_out"]:
            y_BTD = part(y_BTD, x_BTD, context)
        return y_BTD
