"""What every probe is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgolf.core.results import Score
from pgolf.eval.evaluation import Terms
from pgolf.eval.sealed import SealedScore

if TYPE_CHECKING:  # a cheat's process, which reaches for the verdict, has no range coder
    from pgolf.proof.audit import Audit
    from pgolf.proof.decoding import Decoding


@dataclass(frozen=True)
class Context:
    """``tokens_N`` is the stream as scored, ``sealed`` what the sealed process answered, ``reported`` the record
    made of it, ``audit`` what another one answered that could not see ahead, ``decoding`` what a third made of bytes,
    None where that was not tried. ``documents`` are the raw texts the stream was made of, in order, where they are at
    hand; the stream may be a prefix of them. ``artifact_sha256`` is the hash written down before the stream was opened.
    ``target_bytes_N`` are byte counts that came with the text, where the tokenizer does not count them. ``dev`` is the
    dev score of a run that kept validation closed while it made the weights, None where nobody watched.
    """

    terms: Terms
    tokens_N: np.ndarray
    sealed: SealedScore
    reported: Score
    audit: Audit
    decoding: Decoding | None
    documents: Sequence[str] | None
    artifact_sha256: str | None
    target_bytes_N: np.ndarray | None = None
    dev: Score | None = None
