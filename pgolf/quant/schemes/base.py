"""What a storage scheme is: which arrays a stored tensor consists of, what they may hold, what they decode to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pgolf.core.results import StoredTensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ArrayPart:
    """One array of a stored tensor: its key in ``StoredTensor.arrays`` and the kind of stream it travels in.

    ``shared`` parts of all roles travel together (scales); the others in one stream per role.
    """

    field: str
    stream: str
    dtype: str
    shape: Shape
    shared: bool = False

    @property
    def nbytes(self) -> int:
        size = np.dtype(self.dtype).itemsize
        for length in self.shape:
            size *= length
        return size


@dataclass(frozen=True, slots=True)
class Scheme:
    """``parts`` from (shape, bits); ``problem`` says what is wrong with a tensor's arrays, or nothing.

    ``problem`` is asked only once the arrays are known to be those of ``parts``; ``decode`` (to float32, on the
    CPU, the same bits everywhere) only where there is no problem.
    """

    parts: Callable[[Shape, int], tuple[ArrayPart, ...]]
    problem: Callable[[StoredTensor], str | None]
    decode: Callable[[StoredTensor], Tensor]


REGISTERED: dict[str, Scheme] = {}  # by name, filled by each module of this package when it is imported


def codes(stream: str, shape: Shape) -> ArrayPart:
    """The integers of a tensor: int8 of its shape."""
    return ArrayPart("q", stream, "<i1", shape)


def scales(count: int) -> ArrayPart:
    """``count`` scales, float16, in one stream with all others."""
    return ArrayPart("scale", "scale", "<f2", (count,), shared=True)


def codes_problem(tensor: StoredTensor, low: int, high: int) -> str | None:
    q = tensor.arrays["q"]
    if q.size and (int(q.min()) < low or int(q.max()) > high):
        return f"code outside the grid {low}..{high}"
    return None


def scale_problem(tensor: StoredTensor) -> str | None:
    scale = tensor.arrays["scale"]
    if not bool(np.all(np.isfinite(scale) & (scale > 0))):
        return "a scale that is not a positive number"
    return None


def no_bits_problem(tensor: StoredTensor) -> str | None:
    return f"{tensor.bits} bits, where this scheme has none" if tensor.bits else None
