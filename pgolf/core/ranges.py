"""Ranges that live in a constructor's signature: ``bits: Annotated[int, Between(2, 8)]``, and what a text may hold.

The signature is the contract (style 5), so the permitted values stand there too; ``pgolf.config.check``
reads them before anything slow happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Between:
    """``low <= value <= high``; either end may be infinite. ``open_low`` excludes ``low`` itself."""

    low: float
    high: float = math.inf
    open_low: bool = False

    def holds(self, value: float) -> bool:
        return (self.low < value if self.open_low else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'more than' if self.open_low else 'at least'} {self.low:g}"
        if self.open_low:
            return f"more than {self.low:g} and at most {self.high:g}"
        return f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Word:
    """A text of one to ``longest`` printable characters, none of them of ``without``, and no space at either end."""

    longest: int
    without: str

    def holds(self, value: str) -> bool:
        whole = value.isprintable() and value == value.strip() and not set(value) & set(self.without)
        return whole and 0 < len(value) <= self.longest

    def __str__(self) -> str:
        return f"1 to {self.longest} printable characters, none of {' '.join(self.without)}"


PositiveInt = Annotated[int, Between(1)]
NonNegativeInt = Annotated[int, Between(0)]
PositiveFloat = Annotated[float, Between(0, open_low=True)]
NonNegativeFloat = Annotated[float, Between(0)]
Fraction = Annotated[float, Between(0, 1)]
PositiveFraction = Annotated[float, Between(0, 1, open_low=True)]
