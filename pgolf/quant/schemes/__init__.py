"""The storage schemes, one entry of SCHEMES each. The container asks here for every array's dtype and shape and for
the stream it travels in, so a new scheme does not touch the container.

What a scheme needs beyond (shape, bits) is part of its name: ``ternary128`` has a scale per 128 elements. All but
the plainest are imported when they are met, so that a bundle carries none that its run does not use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

import numpy as np

from pgolf.core.results import StoredTensor
from pgolf.quant.schemes.base import REGISTERED, Part, Scheme
from pgolf.quant.schemes.exact import FP16, FP32
from pgolf.quant.schemes.grid import GRID

__all__ = ["SCHEMES", "Part", "Scheme", "problem_of"]

_PLAIN = {"grid": GRID, "fp32": FP32, "fp16": FP16}
_HOMES = {
    **{f"ternary{group}": "pgolf.quant.schemes.ternary" for group in (64, 128, 256)},
    **{f"binary{group}": "pgolf.quant.schemes.binary" for group in (64, 128, 256)},
    "asym": "pgolf.quant.schemes.asym",
    "asym64": "pgolf.quant.schemes.asym",
    "half_rows": "pgolf.quant.schemes.half",
    "half_columns": "pgolf.quant.schemes.half",
}


class _Schemes(Mapping[str, Scheme]):
    def __getitem__(self, name: str) -> Scheme:
        if name in _PLAIN:
            return _PLAIN[name]
        home = _HOMES[name]
        if name not in REGISTERED:
            import_module(home)
        return REGISTERED[name]

    def __contains__(self, name: object) -> bool:
        return name in _PLAIN or name in _HOMES

    def __iter__(self) -> Iterator[str]:
        return iter((*_PLAIN, *_HOMES))

    def __len__(self) -> int:
        return len(_PLAIN) + len(_HOMES)


SCHEMES: Mapping[str, Scheme] = _Schemes()


def problem_of(tensor: StoredTensor) -> str | None:
    """What is wrong with ``tensor``, in words, or None: scheme, arrays present and shaped, values in range."""
    scheme = SCHEMES.get(tensor.scheme)
    if scheme is None:
        return f"unknown scheme {tensor.scheme!r} (known: {', '.join(SCHEMES)})"
    wanted = {part.field: part for part in scheme.parts(tensor.shape, tensor.bits)}
    for field in sorted({*wanted, *tensor.arrays}):
        array, part = tensor.arrays.get(field), wanted.get(field)
        if array is None:
            return f"no array {field!r} under scheme {tensor.scheme!r}"
        if part is None:
            return f"an unexpected array {field!r} under scheme {tensor.scheme!r}"
        if (array.dtype, array.shape) != (np.dtype(part.dtype), part.shape):
            return (
                f"{field} is {array.dtype}{list(array.shape)}, not {np.dtype(part.dtype)}{list(part.shape)}"
            )
    return scheme.problem(tensor)
