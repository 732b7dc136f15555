"""Documents apart, of which those shorter than a minimum or longer than a maximum are not adapted to.

Rule: as ``documents``; a document of n tokens, the BOS at both of its ends included, is scored without adapters, and
none of them learn from it, unless ``min_document_tokens`` ≤ n ≤ ``max_document_tokens`` (null: however many). Which
those are follows from lengths that a decoder does not have, and so it is told.
Source: #687's history (min_doc_len 1,024, then 512, 256; spec ttt §3.2), #1610, #1626. They told nobody, and what reads
each token's future is no code length (``pgolf.proof.published.documents_by_length``). Valid and free is
``ttt.least_tokens``, of what has been seen.
Bytes: 0.5 kB of code. Time: as ``documents``, less the steps that are not taken.
Side bits: those of ``documents``, and a bit for each document, 0.00033 bits per byte of 50,000 of them; with one
document after the other also the two numbers that several beside each other want. A minimum of 0 without a maximum is
``documents`` to the bit.
Hurts: by those bits, and where short documents would have gained by adapters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts
from pgolf.core.ranges import NonNegativeInt, PositiveInt
from pgolf.eval.documents import DocumentPlan, DocumentsApart


class GatedDocuments(DocumentsApart):
    """See the module."""

    name = "documents_gated"
    gates: ClassVar[bool] = True  # it wants an adaptation to documents

    def __init__(
        self,
        *,
        min_document_tokens: NonNegativeInt,
        max_document_tokens: PositiveInt | None,
        window: PositiveInt,
        stride: PositiveInt,
        batch_documents: PositiveInt,
        batch_windows: PositiveInt,
        order: Literal["stream", "longest_first"],
        official_truncation: bool,
    ) -> None:
        """Raises ConfigError where no length lies between the two."""
        if max_document_tokens is not None and max_document_tokens < min_document_tokens:
            raise ConfigError(
                f"eval.max_document_tokens: {max_document_tokens} is less than eval.min_document_tokens, "
                f"{min_document_tokens}; no document would be adapted to"
            )
        super().__init__(
            window=window,
            stride=stride,
            batch_documents=batch_documents,
            batch_windows=batch_windows,
            order=order,
            official_truncation=official_truncation,
        )
        self.least, self.most = min_document_tokens, max_document_tokens

    def plan(self, facts: Facts) -> DocumentPlan:
        plan = super().plan(facts)
        if not self.least and self.most is None:
            return plan
        within = self.least, facts.stream_tokens if self.most is None else self.most
        return replace(plan, lane_starts=replace(plan.lane_starts, within=within))
