"""A tokenizer that counts each byte of a character outside its vocabulary as three: probe (d).

A token of one such byte decodes by itself to U+FFFD, whose UTF-8 has three (#1143, #1289: 4.1 % more bytes; spec
validity §4 row 21).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgolf.core.protocols import Tokenizer
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.counters import miscounting
from pgolf.tokenizer.recipe import stream_of_texts

LETTER = "d"
_RARE = "5 € for a ½ café ﬁlter: 日本語. "


def apply(evaluation: Evaluation) -> Evaluation:
    return miscounting(evaluation, lambda surface: 2 * surface.count("\N{REPLACEMENT CHARACTER}"))


def text(tokens_N: np.ndarray, documents: Sequence[str], tokenizer: Tokenizer) -> tuple[np.ndarray, list[str]]:
    """With a document before it of which no vocabulary has all characters."""
    return np.concatenate([stream_of_texts(tokenizer, [_RARE]), tokens_N]), [_RARE, *documents]
