"""A tokenizer that counts a space as the three bytes of the marker that stands for it in the vocabulary: probe (d).

U+2581 takes three bytes in UTF-8; the denominator grows, and the score falls
by about 20 % (#897; spec validity §4 row 21).
"""

from __future__ import annotations

from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.counters import miscounting

LETTER = "d"


def apply(evaluation: Evaluation) -> Evaluation:
    return miscounting(evaluation, lambda surface: 2 * surface.count(" "))
