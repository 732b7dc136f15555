"""A correction of the target's probability, as if that were an event by itself, which only ever moves it up: probe (a).

p'(v) = p(v) + 0.05 (1 - p(v)), what the table of #187's last stage came to before it was dropped. An SSE is sound where
the other outcomes lose what one gains (spec validity §4 row 6).
"""

from __future__ import annotations

from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration

LETTER = "a"
_UP = 0.05


class MovesUp(Alteration):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        return p_BKV + _UP * (1 - p_BKV)


ALTERATION = MovesUp
