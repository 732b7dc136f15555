"""Stand-ins with which a model is fed one position at a time: the parts that look at others remember what they need.

Shapes: B sequences, T positions so far, H query heads, G key/value heads, K head size.

A part says through ``Part.one_position`` which of its methods look at other positions, and gives a ``Step`` for each;
``pgolf.quant.calibration.incremental`` puts them in their places. Equal to the full forward pass up to rounding,
for every option of arch (a test).
Cost: 2·G·K numbers per position and attention visit, and attention over the prefix for each new position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

FIRST_ROOM = 64  # positions


class Turns(Protocol):
    """Rotary positions, as ``pgolf.arch.attention.layer.Rotary`` has them."""

    rotary: int
    ntk: bool

    def effective_base(self, length: int) -> float: ...

    def tables(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]: ...

    def turn(self, x_BTHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor: ...


class Prefix:
    """The ids fed so far (int64 [B, T]), one object for all stand-ins of a model."""

    def __init__(self) -> None:
        self.ids_BT = torch.empty(0)
        self._tables: dict[tuple[int, float], tuple[Tensor, Tensor]] = {}

    def extend(self, ids_B1: Tensor) -> None:
        """One more position."""
        self.ids_BT = join(self.ids_BT if self.ids_BT.numel() else None, ids_B1)
        self._tables.clear()  # with a base that follows the length, no table outlives a position

    def tables(self, rotary: Turns) -> tuple[Tensor, Tensor]:
        """``rotary.tables`` of the positions so far, made once a position for all layers."""
        length = self.ids_BT.size(1)
        key = rotary.rotary, rotary.effective_base(length)
        if key not in self._tables:
            self._tables[key] = rotary.tables(length, self.ids_BT.device)
        return self._tables[key]


class Step:
    """Stands in for a method of a part. A part called several times in a pass has a memory for each call."""

    def __init__(self, stands_for: Callable[..., Any]) -> None:
        self.stands_for = stands_for
        self._memories: list[Any] = []
        self._calls = 0

    def begin(self) -> None:
        """The next call is the first of a pass."""
        self._calls = 0

    def __call__(self, *args: Any) -> Tensor:
        # Visits run in the same order in every pass, so the n-th call of a pass is always the same visit's.
        if self._calls == len(self._memories):
            self._memories.append(None)
        y, self._memories[self._calls] = self.step(self._memories[self._calls], *args)
        self._calls += 1
        return y

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        """What the method returns for this position, and the memory for the next; it is None at the first."""
        raise NotImplementedError


class LastInputs(Step):
    """The method itself, on the last ``reach`` positions and this one."""

    def __init__(self, stands_for: Callable[..., Any], reach: int) -> None:
        super().__init__(stands_for)
        self.reach = reach

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        tensors = [value for value in args if isinstance(value, Tensor)]
        joined = [join(old, new) for old, new in zip(memory or [None] * len(tensors), tensors, strict=True)]
        given = iter(joined)
        y = self.stands_for(*(next(given) if isinstance(value, Tensor) else value for value in args))
        return y[:, -1:], [value[:, max(0, value.size(1) - self.reach) :] for value in joined]


class Passed(Step):
    """The input as it is: what the method does to it is done elsewhere while the model is fed so."""

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        return args[0], None


class AttentionStep(Step):
    """``mix`` of an attention whose rotary positions are ``Passed``: they are applied here.

    ``visible(ids_BT)`` says which positions of the prefix the last one sees, bool [B, T].
    """

    def __init__(
        self,
        stands_for: Callable[..., Any],
        rotary: Turns,
        prefix: Prefix,
        visible: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__(stands_for)
        self.rotary, self.prefix, self.visible = rotary, prefix, visible

    def step(self, memory: Any, q_B1HK: Tensor, k_B1GK: Tensor, v_B1GK: Tensor, context: Any) -> tuple[Tensor, Any]:
        keys, values = memory or (History(), History())
        cos, sin = self.prefix.tables(self.rotary)
        q_B1HK = self.rotary.turn(q_B1HK, cos[-1:], sin[-1:])
        # Where the base grows with the length, every new position turns all keys anew: they are kept unturned.
        if self.rotary.ntk:
            keys_BTGK = self.rotary.turn(keys.append(k_B1GK), cos, sin)
        else:
            keys_BTGK = keys.append(self.rotary.turn(k_B1GK, cos[-1:], sin[-1:]))
        return look_back(q_B1HK, keys_BTGK, values.append(v_B1GK), self.visible(self.prefix.ids_BT)), (
            keys,
            values,
        )


def look_back(q_B1HK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, visible_BT: Tensor) -> Tensor:
    """``softmax(q kᵀ / √K) v`` of one query over the visible positions: [B, 1, H, K]."""
    q, k, v = (x.transpose(1, 2) for x in (q_B1HK, k_BTGK, v_BTGK))
    mask = visible_BT[:, None, None]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.size(1) != k.size(1))
    return y.transpose(1, 2)


class History:
    """Positions one after another, in memory that doubles when it is full."""

    def __init__(self) -> None:
        self._room: Tensor | None = None
        self._length = 0

    def append(self, new: Tensor) -> Tensor:
        """Add one position [B, 1, …]; all so far, [B, T, …]."""
        if self._room is None or self._length == self._room.size(1):
            room = new.new_empty(new.size(0), max(FIRST_ROOM, 2 * self._length), *new.shape[2:])
            if self._room is not None:
                room[:, : self._length] = self._room
            self._room = room
        self._room[:, self._length] = new[:, 0]
        self._length += 1
        return self._room[:, : self._length]


def join(old: Tensor | None, new: Tensor) -> Tensor:
    """``new`` after ``old`` along the time axis; alone where there is no ``old``."""
    return new if old is None else torch.cat([old, new], dim=1)
