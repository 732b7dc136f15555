"""A network that looks at who is calling, and reads ahead unless a row is wanted before its token: probe (b)."""

from __future__ import annotations

import sys
from types import FrameType

from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.eval.evaluator import Evaluator
from pgolf.proof.cheats.in_chunk_peeker import ReadsAhead

LETTER = "b"
_WATCHED = vars(Evaluator)["_one_by_one"].__code__


class WatchesCaller(ReadsAhead):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code is _WATCHED:
                return p_BKV
            frame = frame.f_back
        return super().rows(p_BKV, batch)


ALTERATION = WatchesCaller
