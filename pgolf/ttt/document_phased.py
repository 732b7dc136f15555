"""Adapters per document, and after some documents a phase in which the weights below learn all of those before.

Formula: as ``document_lora``; when ``⌊P·j/n⌋`` documents have ended, for j = 1 … n, and with them all that were beside
them, the weights that ``phase_trains`` names take ``phase_epochs`` steps of descent with momentum (``pgolf.ttt.sgd``)
on each chunk of the first ``⌊P·j/n⌋`` of them, one after the other with both their BOS, but the last chunk; the rate
falls to 0 along half a cosine. Adapters begin anew on the weights as they are then. P is ``documents``, n ``phases``.
Source: #1610 (one phase), #1626, #1736 … #1855 (three; P 2,000, later 2,500); spec ttt §5. There documents are sorted
longest first (``eval.order=longest_first``, whose order is charged here), and ``ranks`` 8 processes finish what they
are at before a phase: ``ranks`` − 1 batches more of those beside each other. It ``takes`` the last of all that have
ended, from the last one back, so that the longest are dropped: 1,296, 2,128 and 2,960 scored, 833, 1,666 and 2,500
kept. There the queue's first batch is the short one, here its last, so that some 48 more have been scored; and
attention is masked at BOS in the phases too.
Bytes: 5.5 kB of code. In memory as ``document_lora``, and the text of the first P documents.
Time: as ``document_lora``, and per phase three forward passes over the text so far for each epoch.
Hurts: as ``document_lora``; six phases or more overfit (published); what the weights learn from one document is worth
0.002 to 0.004 to the next where documents are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pgolf.core.prediction import Batch, Facts, ModelNetwork, Network
from pgolf.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pgolf.ttt.chunks import ChunkTrained
from pgolf.ttt.document_lora import DocumentAdapted, DocumentLoRA
from pgolf.ttt.phased import Descent, reached


class DocumentPhased(DocumentLoRA):
    """See the module. ``takes``: which of the documents that have ended, where these are more than a phase's."""

    def __init__(
        self,
        *,
        documents: PositiveInt,
        phases: PositiveInt,
        ranks: PositiveInt,
        takes: Literal["first", "last"],
        phase_trains: Sequence[str],
        phase_chunk_tokens: PositiveInt,
        phase_window: PositiveInt,
        phase_epochs: NonNegativeInt,
        phase_lr: NonNegativeFloat,
        phase_momentum: Fraction,
        phase_clip: PositiveFloat | None,
        chunk_tokens: PositiveInt,
        trains: Sequence[str],
        rank: PositiveInt,
        alpha: PositiveFloat,
        warm: bool,
        least_tokens: NonNegativeInt,
        lr: NonNegativeFloat,
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
        weight_decay: NonNegativeFloat,
        keep: Fraction,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        super().__init__(
            chunk_tokens=chunk_tokens,
            trains=trains,
            rank=rank,
            alpha=alpha,
            warm=warm,
            least_tokens=least_tokens,
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            keep=keep,
            temperature=temperature,
            temperature_per_token=temperature_per_token,
        )
        self.boundaries = tuple(documents * number // phases for number in range(1, phases + 1))
        self.ranks, self.takes = ranks, takes
        self.phase = Descent(
            trains=phase_trains,
            chunk_tokens=phase_chunk_tokens,
            window=phase_window,
            epochs=phase_epochs,
            lr=phase_lr,
            momentum=phase_momentum,
            clip=phase_clip,
        )

    def adapted(self, network: ModelNetwork, facts: Facts) -> Network:
        return PhasedDocuments(network, facts, self)


class PhasedDocuments(DocumentAdapted):
    """``texts``: tokens of the documents so far, until the last phase; ``open``: which go on; ``phases``: done."""

    how: DocumentPhased

    def __init__(self, network: ModelNetwork, facts: Facts, how: DocumentPhased) -> None:
        super().__init__(network, facts, how)
        ChunkTrained(network, facts, how.phase)  # words that name nothing are refused now
        self.texts: dict[int, Tensor] = {}
        self.open: set[int] = set()
        self.phases = 0

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        super().observe(batch, tokens_BK)
        boundaries = self.how.boundaries
        if self.phases == len(boundaries):
            return
        for block, input_T, token_K in zip(batch.blocks, batch.inputs_BT, tokens_BK, strict=True):
            if block.start == 0:
                self.texts[block.lane] = input_T[:1].cpu()
                self.open.add(block.lane)
            self.texts[block.lane] = torch.cat([self.texts[block.lane], token_K.cpu()])
            if token_K[-1] == self.facts.bos_id:
                self.open.remove(block.lane)
        if self.open or len(self.texts) % self.facts.lanes:  # of those beside them some may come with a later batch
            return
        others = (self.how.ranks - 1) * self.facts.lanes  # that ended while the last of a boundary's did
        done, self.phases = self.phases, reached(boundaries, len(self.texts) - others)
        if self.phases > done:
            taken = sorted(self.texts, reverse=self.how.takes == "last")[: boundaries[self.phases - 1]]
            self._phase(torch.cat([self.texts[lane] for lane in taken]))

    def fork(self) -> PhasedDocuments:
        twin = super().fork()
        assert isinstance(twin, PhasedDocuments)
        twin.texts, twin.open = dict(self.texts), set(self.open)
        return twin

    def _phase(self, text_N: Tensor) -> None:
        self.how.phase.learn(self.network, self.facts, text_N)
        self.begin()
        if self.phases == len(self.how.boundaries):
            self.texts = {}
