"""The attention sublayer that all kernels share: projections, QK norm, rotary positions, query gain.

Shapes: B batch, T time, D model, H query heads, G key/value heads, K head size.

``q = gain_h · rope(n(q))``, ``k = rope(n(k))``, causal softmax with scale 1/√K; query head h reads key/value
head ⌊h·G/H⌋. Source: spec arch §2 (the public baseline), partial RoPE §3 (#315).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from pgolf.arch.attention.base import Kernel
from pgolf.arch.base import Linear, Part, SequenceMixer, rms_norm
from pgolf.arch.dims import Dims
from pgolf.arch.step.attention import AttentionStep
from pgolf.arch.step.memory import Passed, Past, Step
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.ranges import PositiveFloat, PositiveInt


class Rotary(Part):
    """Half-split rotary positions on the first ``rotary`` dimensions of each head.

    ``(x₁cos+x₂sin, −x₁sin+x₂cos)`` with frequencies ``base^(−2i/rotary)``. With ``ntk`` and T longer than
    ``reference`` positions the base grows by ``(T/reference)^(rotary/(rotary−2))``; without, an evaluation's window may
    have ``limit`` positions and no more, None: any.
    """

    def __init__(self, rotary: int, base: float, reference: int, ntk: bool, limit: int | None = None) -> None:
        super().__init__()
        self.rotary, self.base, self.reference, self.ntk, self.limit = rotary, base, reference, ntk, limit

    @property
    def most_positions(self) -> int | None:
        return None if self.ntk else self.limit

    def effective_base(self, length: int) -> float:
        """The base at this length; 22,082 for base 10,000, 16 dimensions and twice the reference."""
        if self.ntk and length > self.reference:
            return self.base * (length / self.reference) ** (self.rotary / (self.rotary - 2))
        return self.base

    def tables(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """cos and sin, fp32 [T, 1, rotary/2]."""
        base = self.effective_base(length)
        exponent = torch.arange(0, self.rotary, 2, dtype=torch.float32, device=device) / self.rotary
        angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), base**-exponent)
        return angles.cos()[:, None, :], angles.sin()[:, None, :]

    def tables_from(self, start: int, count: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """cos and sin of ``count`` places from ``start`` on with the base of ``length``, as exact far out as near 0."""
        exponent = torch.arange(0, self.rotary, 2, dtype=torch.float32, device=device) / self.rotary
        frequency = self.effective_base(length) ** -exponent
        place = torch.arange(start, start + count, dtype=torch.float64, device=device)
        angles = torch.outer(place, frequency.double())
        return angles.cos().float()[:, None, :], angles.sin().float()[:, None, :]

    @property
    def settings(self) -> Hashable:
        """Equal where the tables are."""
        return self.rotary, self.base, self.reference, self.ntk

    def stand_ins(self, past: Past) -> Mapping[str, Step]:
        return {"forward": Passed(past, self.forward)}

    def forward(self, x_BTHK: Tensor) -> Tensor:
        return self.turn(x_BTHK, *self.tables(x_BTHK.size(1), x_BTHK.device))

    def turn(self, x_BTHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """``x`` at the positions whose rows of ``tables`` these are."""
        half = self.rotary // 2
        first, second, rest = x_BTHK[..., :half], x_BTHK[..., half : self.rotary], x_BTHK[..., self.rotary :]
        return torch.cat([first * cos + second * sin, second * cos - first * sin, rest], dim=-1)


class Attention(SequenceMixer):
    """Grouped-query attention around a kernel, which has no parameters."""

    def __init__(
        self,
        kernel: Kernel,
        /,
        *,
        dims: Dims,
        rope_dims: PositiveInt | None,
        rope_base: PositiveFloat,
        rope_ref_len: PositiveInt,
        rope_ntk: bool,
        rope_limit: PositiveInt | None,
        qk_gain: PositiveFloat,
    ) -> None:
        super().__init__()
        rotary = dims.head_width if rope_dims is None else rope_dims
        if rotary % 2 or not 0 < rotary <= dims.head_width:
            raise ConfigError(
                f"arch.attention.rope_dims: {rotary} is not even and in 2..{dims.head_width} (the head's width)"
            )
        if rope_ntk and rotary == 2:
            raise ConfigError(
                "arch.attention.rope_ntk: the rule's exponent rope_dims/(rope_dims−2) needs 4 rotary dimensions "
                "at least; there are 2"
            )
        self.kernel, self.trains_on = kernel, kernel.trains_on
        self.heads, self.kv_heads, self.head_width = dims.heads, dims.kv_heads, dims.head_width
        self.qk_gain = qk_gain
        self.rotary = Rotary(rotary, rope_base, rope_ref_len, rope_ntk, rope_limit)
        self.q = Linear(dims.width, dims.width, "attention")
        self.k = Linear(dims.width, dims.kv_width, "attention")
        self.v = Linear(dims.width, dims.kv_width, "attention")
        self.out = Linear(dims.width, dims.width, "attention", writes_residual=True)

    def stand_ins(self, past: Past) -> Mapping[str, Step]:
        return {"mix": AttentionStep(past, self.mix, self.rotary, self.kernel)}

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        """What the kernel makes of them, y_BTHK. What feeds a model in pieces stands in for this method."""
        return self.kernel.mix(q_BTHK, k_BTGK, v_BTGK, context)

    def forward(self, h_BTD: Tensor, gain_H: Tensor, sites: Mapping[str, Sequence[nn.Module]], context: Any) -> Tensor:
        batch, time, width = h_BTD.shape
        q_BTHK = self.q(h_BTD).view(batch, time, self.heads, self.head_width)
        k_BTGK = self.k(h_BTD).view(batch, time, self.kv_heads, self.head_width)
        v_BTGK = self.v(h_BTD).view(batch, time, self.kv_heads, self.head_width)
        for part in sites["value"]:
            v_BTGK = part(v_BTGK, context)
        q_BTHK = self.rotary(rms_norm(q_BTHK)) * gain_H[:, None]
        k_BTGK = self.rotary(rms_norm(k_BTGK))
        y_BTHK = self.mix(q_BTHK.to(v_BTGK.dtype), k_BTGK.to(v_BTGK.dtype), v_BTGK, context)
        for part in sites["heads"]:
            y_BTHK = part(y_BTHK, v_BTGK, h_BTD, context)
        return self.out(y_BTHK.reshape(batch, time, width))


def attention_layer(node: Mapping[str, Any], dims: Dims) -> Attention:
    """The layer around the kernel that ``node`` names; of its settings each takes its own."""
    keyword_only = (n for n, p in signature(Attention).parameters.items() if p.kind is Parameter.KEYWORD_ONLY)
    of_layer = {name: node[name] for name in keyword_only if name in node}
    of_kernel = {name: value for name, value in node.items() if name not in of_layer}
    return Attention(make(of_kernel, dims=dims), dims=dims, **of_layer)
