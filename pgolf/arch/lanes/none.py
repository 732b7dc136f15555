"""One residual stream: attention, then the MLP, each reading what the one before has written.

``u = r₀⊙x + r₁⊙x0;  u += a⊙Attn(n(u));  u += b⊙MLP(n(u))``.
Source: the public baseline; spec arch §2.
Cost in bytes: none. Cost in step time: none. Hurts: nothing; two lanes gained 0.0020 to 0.0022 (``p1``, ``p4``).
"""

from __future__ import annotations

from torch import Tensor

from pgolf.arch.block import Block, Context
from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import Lanes


class OneStream(Lanes):
    """The plain sequential block; the stream is a single tensor x_BTD."""

    def __init__(self, *, dims: Dims) -> None:
        super().__init__()

    def run(self, block: Block, stream: tuple[Tensor, ...], context: Context) -> tuple[Tensor, ...]:
        return self.sequential(block, stream, context)
