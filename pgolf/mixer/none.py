"""No mixture: the network's rows stand alone.

Formula: p = p_1. Source: none needed. Bytes: none. Time: none.
Hurts: with two or more experts there is nothing to combine them, so that is refused.
"""

from __future__ import annotations

from typing import ClassVar

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Stage


class Single:
    neutral: ClassVar[bool] = True

    def stage(self, facts: Facts, experts: int) -> Stage | None:
        """None: nothing is done to the row. Raises ConfigError where ``experts`` besides the network have rows."""
        if experts:
            raise ConfigError(
                f"mixer: none passes on the network's row and cannot combine it with {experts} more; choose a mixer"
            )
        return None
