"""Stand-ins with which a model is fed in pieces: the parts that look at other positions remember what they need.

Shapes: B sequences, T places (those kept, then the new ones), N new positions, S blocks of them, Q positions of a
block, W positions of a window, E places before and in a block (W + Q).

A part says through ``Part.stand_ins`` which of its methods look at other positions, and gives a ``Step`` for each. A
step is a pure function from a memory and the new inputs to the outputs and the next memory, which counts only once
``commit`` is called: until then the same or other positions can be tried again. Tensors in a memory are never changed.

Without a window a position sees all that was fed. With one it sees the last W positions, itself included, however many
come together: W places are kept, and the window can move on for ever. Positions come in blocks of Q. Blocks fed
together have the bits of blocks fed one after another: every product, sum and function here and in the parts has the
same shape for each block, or treats rows and elements alike, in full vectors, which is why Q is a multiple of 32.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

VECTOR = 32  # elements that torch's loops take at a time at most; what is left over is computed otherwise
Made = TypeVar("Made")


class Turns(Protocol):
    """Rotary positions, as ``pgolf.arch.attention.layer.Rotary`` has them."""

    ntk: bool

    @property
    def settings(self) -> Hashable:
        """Equal where the tables are."""
        ...

    def tables(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]: ...

    def tables_from(self, start: int, count: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]: ...

    def turn(self, x_BTHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor: ...


class Past:
    """How many positions a model has been fed, and what all stand-ins share; one object for all of a model.

    ``window`` None: all is seen; else ``block`` is Q. ``start`` positions are committed; ``ids_BT`` are the ids of
    the places kept and of the new positions.
    """

    def __init__(self, window: int | None = None, block: int = 1) -> None:
        assert window is None or block % VECTOR == 0
        self.window, self.block = window, block
        self.start = 0
        self.ids_BT = torch.empty(0)
        self._kept_BW: Tensor | None = None
        self._new = 0
        self._shared: dict[Hashable, Any] = {}

    @property
    def length(self) -> int:
        """E, with a window."""
        assert self.window is not None
        return self.window + self.size

    @property
    def size(self) -> int:
        """Q of this pass; fewer than ``block`` in a short last one."""
        return min(self.block, self._new) if self.window is not None else self._new

    def begin(self, ids_BN: Tensor) -> None:
        """The pass over these positions begins."""
        self._new = ids_BN.size(1)
        if self.window is not None and self._new > self.block and self._new % self.block:
            raise ValueError(f"{self._new} positions are no blocks of {self.block}")
        self._shared.clear()
        self.ids_BT = self.extended(self._kept_BW, ids_BN)

    def commit(self) -> None:
        """The new positions are past."""
        self.start += self._new
        self._kept_BW = self.rest(self.ids_BT)

    @property
    def committed(self) -> tuple[int, Tensor | None]:
        """How many positions, and the ids of those kept."""
        return self.start, self._kept_BW

    def take_over(self, committed: tuple[int, Tensor | None]) -> None:
        """What is committed elsewhere."""
        self.start, self._kept_BW = committed

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """``make()``, made once in a pass."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def extended(self, kept_BW: Tensor | None, new_BN: Tensor) -> Tensor:
        """[B, T, …]: the new after what was kept; with a window, zeros at places before the start."""
        if kept_BW is None and self.window is not None:
            kept_BW = new_BN.new_zeros(new_BN.size(0), self.window, *new_BN.shape[2:])
        return join(kept_BW, new_BN)

    def rest(self, x_BT: Tensor) -> Tensor:
        """What of [B, T, …] is kept for the next pass."""
        return x_BT if self.window is None else x_BT[:, -self.window :]

    def windows(self, x_BT: Tensor) -> Tensor:
        """[B·S, E, …]: the places before and in each block; a view where B is 1."""
        batch, rest = x_BT.size(0), x_BT.shape[2:]
        count = self._new // self.size
        step, *strides = x_BT.stride()[1:]
        shape = (batch, count, self.length, *rest)
        return x_BT.as_strided(shape, (x_BT.stride(0), self.size * step, step, *strides)).flatten(0, 1)

    def blocks(self, x_BN: Tensor) -> Tensor:
        """[B·S, Q, …]."""
        return x_BN.unflatten(1, (-1, self.size)).flatten(0, 1)

    def joined(self, x_SQ: Tensor) -> Tensor:
        """``blocks`` undone: [B, N, …]."""
        return x_SQ.unflatten(0, (self.ids_BT.size(0), -1)).flatten(1, 2)

    def band(self) -> Tensor:
        """Which places lie in the window of a block's positions, or after them: bool [1 or B·S, Q, E]."""
        device = self.ids_BT.device
        inside_QE = torch.ones(self.size, self.length, dtype=torch.bool, device=device).triu(1)
        before = self.length - self.size - self.start
        if before <= 0:
            return inside_QE[None]
        place_BT = torch.arange(self.ids_BT.size(1), device=device).expand(self.ids_BT.shape)
        return inside_QE & (self.windows(place_BT) >= before)[:, None]  # the stream has a start


class Step:
    """Stands in for a method of a part. A part called several times in a pass has a memory for each call."""

    def __init__(self, past: Past, stands_for: Callable[..., Any]) -> None:
        self.past, self.stands_for = past, stands_for
        self.memories: list[Any] = []
        self._next: list[Any] = []

    def begin(self) -> None:
        """The next call is the first of a pass."""
        self._next = []

    def commit(self) -> None:
        """What was fed in this pass is past: no gradient goes there."""
        self.memories = _detached(self._next)

    def __call__(self, *args: Any) -> Tensor:
        # Visits run in the same order in every pass, so the n-th call of a pass is always the same visit's.
        call = len(self._next)
        memory = self.memories[call] if call < len(self.memories) else None
        y, after = self.step(memory, *args)
        self._next.append(after)
        return y

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        """What the method returns for the new positions, and the memory after them; it is None before the first."""
        raise NotImplementedError


class LastInputs(Step):
    """The method itself, on the last ``reach`` positions and the new ones."""

    def __init__(self, past: Past, stands_for: Callable[..., Any], reach: int) -> None:
        super().__init__(past, stands_for)
        unit = 1 if past.window is None else VECTOR  # full vectors
        self.reach = -(-reach // unit) * unit

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        tensors = [value for value in args if isinstance(value, Tensor)]
        joined = [join(old, new) for old, new in zip(memory or [None] * len(tensors), tensors, strict=True)]
        given = iter(joined)
        y = self.stands_for(*(next(given) if isinstance(value, Tensor) else value for value in args))
        new = tensors[0].size(1)
        return y[:, -new:], [value[:, max(0, value.size(1) - self.reach) :] for value in joined]


class Passed(Step):
    """The input as it is: what the method does to it is done elsewhere while the model is fed so."""

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        return args[0], None


def _detached(memory: Any) -> Any:
    """Its tensors without what they were made of."""
    if isinstance(memory, Tensor):
        return memory.detach()
    return type(memory)(map(_detached, memory)) if isinstance(memory, (list, tuple)) else memory


def join(old: Tensor | None, new: Tensor) -> Tensor:
    """``new`` after ``old`` along the time axis; alone where there is no ``old``."""
    return new if old is None else torch.cat([old, new], dim=1)
