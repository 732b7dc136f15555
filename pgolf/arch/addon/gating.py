"""What the gates of attention heads have in common: a factor per head, before the output projection.

Shapes: B batch, T time, D model, H query heads, G key/value heads, K head size, W gate window.

The gates are the six addons ``gate_*`` (spec arch §6); a model has at most one kind. They act after XSA and
read the sublayer's normed input. All their parameters train in the scalar group and pass quantization.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError

COMPONENT = "attention_gate"


class HeadGate(Part):
    """``y_h ← gate_h · y_h``; an option says what the gate is."""

    alone = True

    @abstractmethod
    def gate(self, h_BTD: Tensor) -> Tensor:
        """The factors, [B, T, H] or [H]."""

    def forward(self, y_BTHK: Tensor, v_BTGK: Tensor, h_BTD: Tensor, context: ForwardContext) -> Tensor:
        return self.gate(h_BTD).to(y_BTHK.dtype).unsqueeze(-1) * y_BTHK

    def declare_weight(self, weight: Tensor) -> None:
        """The matrix [H, inputs] of a gate that reads its input: kept, in half precision."""
        self.declare("weight", weight, group="scalar", storage="keep_fp16", component=COMPONENT)


class Gating(Addon):
    """Specification: one gate for each control key whose layer has attention."""

    alternative = "gate the same heads"
    sites = ("heads",)
    order = 20

    @abstractmethod
    def part(self, dims: Dims) -> nn.Module: ...

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        assert visit is not None
        if not model.attention_layers:
            raise ConfigError("arch.addons: a gate of attention heads, but no layer has attention")
        attends = any(v.physical in model.attention_layers for v in model.sharing(visit))
        return self.part(dims) if attends else None


def check_window(window: int, dims: Dims, place: str) -> int:
    """``window``, the leading channels a gate reads; ConfigError where the stream has fewer."""
    if window > dims.width:
        raise ConfigError(f"{place}.window: {window} is out of range: from 1 to the model's width {dims.width}")
    return window
