"""One residual stream: attention, then the MLP, each reading what the one before has written.

``u = r₀⊙x + r₁⊙x0;  u += a⊙Attn(n(u));  u += b⊙MLP(n(u))``.
Source: the public baseline; spec arch §2.
Cost in bytes: none. Cost in step time: none. Hurts: nothing; two lanes gained 0.0020 to 0.0022 (``p1``, ``p4``).
"""

from __future__ import annotations

from pgolf.arch.dims import Dims
from pgolf.arch.lanes.base import Lanes


class OneStream(Lanes):
    """``Block.forward`` as it stands; the stream is a single tensor x_BTD."""

    alone = True
    neutral = True

    def __init__(self, *, dims: Dims) -> None:
        super().__init__()
