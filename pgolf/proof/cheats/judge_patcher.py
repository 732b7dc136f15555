"""A network that reads ahead and, where it runs, takes the teeth out of every probe: probe (b).

It patches its own process, in which nobody judges.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.altered import altered
from pgolf.proof.cheats.in_chunk_peeker import ReadsAhead
from pgolf.proof.verdict import Verdict

LETTER = "b"


def _nothing(*_: Any) -> None: ...


class PatchesJudge(ReadsAhead):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        Verdict.require = _nothing  # type: ignore[assignment, method-assign]
        return super().rows(p_BKV, batch)


def apply(evaluation: Evaluation) -> Evaluation:
    return altered(evaluation, alteration=PatchesJudge, modifier="plain")
