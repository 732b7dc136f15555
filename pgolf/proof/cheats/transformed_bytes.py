"""The bytes of a text whose case was factored out, controls and all, instead of the text's own: probe (d).

The transformed text is the longer one (164.6 M bytes for 151.1 M, #2071), and dividing by its bytes lowers the score by
as much; what a sidecar is for (spec validity §4 row 22).
"""

from __future__ import annotations

from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.counters import miscounting
from pgolf.tokenizer.letter_case import transform

LETTER = "d"


def apply(evaluation: Evaluation) -> Evaluation:
    """A token's own surface tells what the transform would have written for it."""
    return miscounting(evaluation, lambda surface: len(transform(surface).encode()) - len(surface.encode()))
