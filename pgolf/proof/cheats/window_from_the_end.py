"""A document's last block sees a window that ends with the document, not with the block: probe (b).

Windows are the evaluation's less a stride of inputs, so that they can be moved back: [e - W', e), where e is the end of
the block or, if the document ends in it, the end of that. Where the window begins, and with it every row of the block,
tells how many tokens are to come (#77, #1530; accepted, and minor; spec validity §4 row 24). Valid: e by the block
alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from pgolf.core.prediction import Batch, Network, Rows
from pgolf.eval.evaluation import Evaluation
from pgolf.proof.cheats.altered import wrapped
from pgolf.proof.published.driver import Around, in_windows

LETTER = "b"


class _MovedBack(Around):
    """``network`` with less than the window it is given."""

    def __init__(self, network: Network, stride: int, bos_id: int) -> None:
        super().__init__(network)
        self.stride, self.bos_id = stride, bos_id

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        parts = [self.network.log_probs(self._cut(batch, place), wanted) for place in range(len(batch.blocks))]
        signals = {name: torch.cat([part.signals[name] for part in parts]) for name in wanted}
        return Rows(torch.cat([part.logp_BKV for part in parts]), signals)

    def _cut(self, batch: Batch, place: int) -> Batch:
        """One block of it, and the inputs that its window has."""
        block, input_T = batch.blocks[place], batch.inputs_BT[place]
        ends = (input_T[-batch.keep :] == self.bos_id).nonzero().flatten().tolist()
        rest = ends[0] if ends else batch.keep  # inputs up to the document's end, at most all that are kept
        first = min(max(0, self.stride - batch.keep + rest), block.start - block.context)
        moved = dataclasses.replace(block, context=block.context + first)
        return Batch((moved,), input_T[None, first:], batch.keep)

    def fork(self) -> _MovedBack:
        return _MovedBack(self.network.fork(), self.stride, self.bos_id)


def apply(evaluation: Evaluation) -> Evaluation:
    """By sliding windows, whatever ``evaluation`` has: what remembers places no windows."""
    evaluation = in_windows(evaluation)
    stride = evaluation.method.stride
    return wrapped(evaluation, lambda network, facts: _MovedBack(network, stride, facts.bos_id))
