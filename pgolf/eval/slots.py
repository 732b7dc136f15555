"""A write-once array: one slot per target, and no way to write one twice."""

from __future__ import annotations

import numpy as np


class DoubleScore(RuntimeError):
    """A slot that already holds a value was written again."""


class WriteOnce:
    """``values_N`` float64 [N-1]; a slot not yet written is NaN."""

    def __init__(self, size: int) -> None:
        self._values_N = np.full(size, np.nan)
        self._writes_N = np.zeros(size, dtype=np.uint8)

    def write(self, start: int, values: np.ndarray) -> None:
        """Fill the slots from ``start`` on.

        Raises DoubleScore if one is filled already, IndexError outside the array, ValueError for NaN.
        """
        stop = start + len(values)
        if start < 0 or stop > len(self._writes_N):
            raise IndexError(f"positions {start} to {stop - 1} lie outside the {len(self._writes_N)} slots")
        taken = np.flatnonzero(self._writes_N[start:stop])
        if taken.size:
            raise DoubleScore(f"position {start + int(taken[0])} was scored already")
        if np.isnan(values).any():
            raise ValueError(f"the value of position {start + int(np.isnan(values).argmax())} is not a number")
        self._values_N[start:stop] = values
        self._writes_N[start:stop] += 1

    @property
    def values_N(self) -> np.ndarray:
        """A read-only view."""
        view = self._values_N.view()
        view.flags.writeable = False
        return view

    @property
    def writes_N(self) -> np.ndarray:
        """How often each slot was written: 0 or 1."""
        view = self._writes_N.view()
        view.flags.writeable = False
        return view

    @property
    def written(self) -> int:
        return int(self._writes_N.sum())

    def fork(self) -> WriteOnce:
        copy = WriteOnce(0)
        copy._values_N = self._values_N.copy()
        copy._writes_N = self._writes_N.copy()
        return copy
