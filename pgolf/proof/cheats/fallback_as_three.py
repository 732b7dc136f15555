"""A tokenizer that counts each byte of a character outside its vocabulary as three: probe (d).

A token of one such byte decodes by itself to U+FFFD, whose UTF-8 has three (#1143, #1289: 4.1 % more bytes; spec
validity §4 row 21).
"""

from __future__ import annotations

from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.counters import miscounting

LETTER = "d"


def apply(evaluation: Evaluation) -> Evaluation:
    return miscounting(evaluation, lambda surface: 2 * surface.count("\N{REPLACEMENT CHARACTER}"))
