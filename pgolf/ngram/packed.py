"""Counts of n-grams of the training text, carried in the artifact, with which the evaluation's own counts begin.

Rule: of all n-grams up to ``max_order`` that came ``least_count`` times, those with the largest log2(c / e), the bits
that their counts c save each time beside those of shorter ones, which would have had them come e times
(``pgolf.ngram.packing``); with an n-gram, all that are in it; as many as ``packed_bytes`` hold. A context that came
more than ``most_total`` times is scaled down to that: its proportions matter, and the stream's own counts are to come
up to them.
Source: pull requests 1114, 1030 and 1056 pack hashed tables; here the counts are exact and their bytes are counted.
Bytes: ``packed_bytes``, 1.4 an n-gram; weights that are fitted to a size get as many less. The code: 3 kB.
Time: some seconds when packed, about one when read.
Hurts: where those bytes are worth more as weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np

from pgolf.core.errors import ArtifactError
from pgolf.core.make import make
from pgolf.core.prediction import Facts, Stage
from pgolf.core.ranges import Between, PositiveInt
from pgolf.ngram.packed_counts import MOST_LENGTH, decode
from pgolf.ngram.packed_start import MOST_TOTAL, TrainingCounts
from pgolf.ngram.packing import packed


class PackedCounts:
    """See the module. ``of``: an option of ``ngram`` whose experts stand beside the network; it has counts of its own,
    as the mixer may."""

    neutral: ClassVar[bool] = False

    def __init__(
        self,
        *,
        of: Mapping[str, Any],
        packed_bytes: PositiveInt,
        max_order: Annotated[int, Between(2, MOST_LENGTH)],
        least_count: PositiveInt,
        most_total: Annotated[int, Between(1, MOST_TOTAL)],
    ) -> None:
        """Raises what ``of`` raises."""
        self.of, self.packed_bytes = make(of), packed_bytes
        self.max_order, self.least_count, self.most_total = max_order, least_count, most_total

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """Those of the option within."""
        return tuple(self.of.stages(facts))

    def pack(self, token_T: np.ndarray, vocab_size: int) -> bytes:
        """For the artifact. Raises ConfigError where the bytes are too few for any n-gram."""
        return packed(token_T, vocab_size, self.max_order, self.least_count, self.packed_bytes)

    def check_room(self, token_T: np.ndarray, vocab_size: int) -> None:
        """Raises ConfigError as ``pack`` would, at once."""
        packed(token_T, vocab_size, 2, len(token_T) + 1, self.packed_bytes)

    def unpack(self, blob: bytes, vocab_size: int) -> TrainingCounts:
        """Raises ArtifactError for an artifact without them, or with others' bytes."""
        if not blob:
            raise ArtifactError("ngram=packed: there are no packed counts in this artifact")
        return TrainingCounts(decode(blob, vocab_size), self.most_total)
