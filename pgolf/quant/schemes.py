"""The storage schemes: which arrays a stored tensor consists of, what they may hold, what they decode to.

``grid``          ``q`` int8 in the tensor's shape, on {-qmax .. qmax}; ``scale`` float16, one per row
``fp32``, ``fp16``  ``values`` of that dtype, bit for bit

A scheme is one entry of SCHEMES. The container asks here for every array's dtype and shape and for the
stream it travels in, so a new scheme does not touch the container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.grid import as_rows, dequantize_rows, qmax, row_count


@dataclass(frozen=True, slots=True)
class Part:
    """One array of a stored tensor: its field in StoredTensor and the kind of stream it travels in.

    ``shared`` parts of all roles travel together (scales); the others in one stream per role.
    """

    field: str
    stream: str
    dtype: str
    shape: tuple[int, ...]
    shared: bool = False

    @property
    def nbytes(self) -> int:
        size = np.dtype(self.dtype).itemsize
        for length in self.shape:
            size *= length
        return size


@dataclass(frozen=True, slots=True)
class Scheme:
    """``parts`` from (shape, bits); ``problem`` says what is wrong with a tensor's arrays, or nothing."""

    parts: Callable[[tuple[int, ...], int], tuple[Part, ...]]
    problem: Callable[[StoredTensor], str | None]
    decode: Callable[[StoredTensor], Tensor]


def _grid_parts(shape: tuple[int, ...], bits: int) -> tuple[Part, ...]:
    return (
        Part("q", "q", "<i1", shape),
        Part("scale", "scale", "<f2", (row_count(shape),), shared=True),
    )


def _grid_problem(tensor: StoredTensor) -> str | None:
    if not 2 <= tensor.bits <= 8:
        return f"{tensor.bits} bits (a grid has 2 to 8)"
    assert tensor.q is not None and tensor.scale is not None
    top = qmax(tensor.bits)
    if tensor.q.size and (int(tensor.q.max()) > top or int(tensor.q.min()) < -top):
        return f"code outside the grid -{top}..{top}"
    if not bool(np.all(np.isfinite(tensor.scale) & (tensor.scale > 0))):
        return "a scale that is not a positive number"
    return None


def _grid_decode(tensor: StoredTensor) -> Tensor:
    q = torch.from_numpy(np.array(tensor.q, dtype=np.int8))
    scale_R = torch.from_numpy(np.array(tensor.scale, dtype=np.float16))
    return dequantize_rows(as_rows(q), scale_R).reshape(tensor.shape)


def _exact(dtype: str) -> Scheme:
    def parts(shape: tuple[int, ...], bits: int) -> tuple[Part, ...]:
        return (Part("values", f"fp{8 * np.dtype(dtype).itemsize}", dtype, shape),)

    def problem(tensor: StoredTensor) -> str | None:
        if tensor.bits:
            return f"{tensor.bits} bits, where this scheme has none"
        assert tensor.values is not None
        return None if bool(np.all(np.isfinite(tensor.values))) else "a value that is not a finite number"

    def decode(tensor: StoredTensor) -> Tensor:
        return torch.from_numpy(np.array(tensor.values, dtype=np.float32))

    return Scheme(parts, problem, decode)


SCHEMES: Mapping[str, Scheme] = {
    "grid": Scheme(_grid_parts, _grid_problem, _grid_decode),
    "fp32": _exact("<f4"),
    "fp16": _exact("<f2"),
}


def problem_of(tensor: StoredTensor) -> str | None:
    """What is wrong with ``tensor``, in words, or None: scheme, arrays present and shaped, values in range."""
    scheme = SCHEMES.get(tensor.scheme)
    if scheme is None:
        return f"unknown scheme {tensor.scheme!r} (known: {', '.join(SCHEMES)})"
    wanted = {part.field: part for part in scheme.parts(tensor.shape, tensor.bits)}
    for field in ("q", "scale", "values"):
        array: np.ndarray | None = getattr(tensor, field)
        part = wanted.get(field)
        if (array is None) != (part is None):
            return (
                f"{'no' if array is None else 'an unexpected'} array {field!r} under scheme {tensor.scheme!r}"
            )
        if (
            array is not None
            and part is not None
            and (array.dtype, array.shape) != (np.dtype(part.dtype), part.shape)
        ):
            return (
                f"{field} is {array.dtype}{list(array.shape)}, not {np.dtype(part.dtype)}{list(part.shape)}"
            )
    return scheme.problem(tensor)
