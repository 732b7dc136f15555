"""A tokenizer that counts the space a token begins with twice: probe (d).

The denominator grows by about a sixth and the score falls by as much (#1545, #1576, #1632, #1672, #1698, #1712, #1734;
spec validity §4 row 20).
"""

from __future__ import annotations

from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.counters import miscounting

LETTER = "d"


def apply(evaluation: Evaluation) -> Evaluation:
    return miscounting(evaluation, lambda surface: int(surface.startswith(" ")))
