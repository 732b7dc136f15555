"""The storage schemes by name, found by module. The container asks here for every array's dtype and shape and for the
stream it travels in, so a new scheme is a new module and touches nothing else.

A scheme's name begins with that of its module, which are letters alone, and says what it needs beyond (shape, bits):
``ternary128`` has a scale per 128 elements. A module registers its schemes when it is imported, and is imported when
one of them is met, so that a bundle carries none that its run does not use.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from pgolf.core.registry import module_named, modules_of
from pgolf.core.results import StoredTensor
from pgolf.quant.schemes.base import REGISTERED, ArrayPart, Scheme

__all__ = ["SCHEMES", "ArrayPart", "Scheme", "home_of", "problem_of"]

_LEAVES = ("base", "flat_groups")
_STEM = re.compile("[a-z]+")


class _Schemes(Mapping[str, Scheme]):
    """Names come from artifacts, that is from anywhere: only letters lead to a module, and only to one of this
    package."""

    def __getitem__(self, name: str) -> Scheme:
        stem = _STEM.match(name)
        if name not in REGISTERED and stem is not None:
            module_named(sys.modules[__name__], stem[0], _LEAVES)
        return REGISTERED[name]

    def __iter__(self) -> Iterator[str]:
        for _ in modules_of(sys.modules[__name__], _LEAVES):
            pass  # each registers its own
        return iter(sorted(REGISTERED))

    def __len__(self) -> int:
        return len(list(iter(self)))


SCHEMES: Mapping[str, Scheme] = _Schemes()


def home_of(name: str) -> str:
    """The module that registers the scheme ``name``."""
    stem = _STEM.match(name)
    assert stem is not None
    return f"{__name__}.{stem[0]}"


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
            return f"{field} is {array.dtype}{list(array.shape)}, not {np.dtype(part.dtype)}{list(part.shape)}"
    return scheme.problem(tensor)
