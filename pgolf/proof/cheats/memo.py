"""A network that reads ahead where it can, and from then on repeats the row that it gave for a position: probe (b).

Asked again with another future, as by a probe in its own process, it is consistent with itself. Who has never shown it
the future gets the honest row, and that is not the committed one.
"""

from __future__ import annotations

from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.altered import Alteration
from pgolf.proof.cheats.in_chunk_peeker import ReadsAhead

LETTER = "b"


class Remembers(Alteration):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.given: dict[tuple[int, int], Tensor] = {}  # rows of a block, by lane and start

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        peeked_BKV = ReadsAhead(self.vocab_size).rows(p_BKV, batch)
        for index, block in enumerate(batch.blocks):
            known = self.given.setdefault((block.lane, block.start), peeked_BKV[index])
            peeked_BKV[index] = known
        return peeked_BKV


ALTERATION = Remembers
