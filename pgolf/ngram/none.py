"""No experts from counts.

Formula: none. Source: none needed. Bytes: none. Time: none. Hurts: repetitions are left to the network.
"""

from __future__ import annotations

from typing import ClassVar

from pgolf.core.prediction import Facts, Stage


class NoNGram:
    neutral: ClassVar[bool] = True

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """No expert, for any stream."""
        return ()
