"""No experts from counts.

Formula: none. Source: none needed. Bytes: none. Time: none. Hurts: repetitions are left to the network.
"""

from __future__ import annotations

from typing import ClassVar

from pgolf.core.protocols import Expert


class NoNGram:
    neutral: ClassVar[bool] = True

    def experts(self, vocab_size: int) -> tuple[Expert, ...]:
        """No expert, for a vocabulary of any size."""
        return ()
