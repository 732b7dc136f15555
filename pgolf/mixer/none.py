"""The mixture of exactly one expert: its distribution, unchanged.

Formula: p = p_1. Source: none needed. Bytes: none. Time: none.
Hurts: with two or more experts there is nothing to combine them, so that is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from pgolf.core.errors import ConfigError


class Single:
    """Shapes: B windows, K kept positions, V vocabulary, n scored tokens."""

    neutral: ClassVar[bool] = True
    expects = 1

    def combine(self, logps: Sequence[Tensor]) -> Tensor:
        """The one [B, K, V] (or [B, K]) it is given. Raises ConfigError for any other number of experts."""
        if len(logps) != 1:
            raise ConfigError(f"mixer: none passes on one expert and cannot combine {len(logps)}; choose a mixer")
        return logps[0]

    def observe(self, logps_target: Sequence[Tensor]) -> None:
        """Nothing to learn."""

    def fork(self) -> Single:
        return Single()
