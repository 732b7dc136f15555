"""A score that is no code length, beside what is left of it: the same rows and table for one run and for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgolf.report.html.charts import numbers, ticks
from pgolf.report.html.parts import Bar, Bars, BarSpan, Key, Part, Section
from pgolf.report.table import Table, number

LEAD = (
    "A score is a code length only where the probabilities of every row sum to one. These rows sum to more: what they "
    "claim is no number of bits that anybody could decode from. Renormalised is what is left when each row is divided "
    "by its sum."
)


@dataclass(frozen=True, slots=True)
class Claim:
    label: str
    claimed: float
    sum_p_mean: float | None
    sum_p_max: float | None
    renormalised: float | None


def claims_section(claims: Sequence[Claim]) -> Section | None:
    """None for no claims."""
    if not claims:
        return None
    rows, cells = [], []
    longest = max(max(one.claimed, one.renormalised or 0.0) for one in claims)
    for one in claims:
        left = one.renormalised
        spans = [BarSpan(0.0, one.claimed, 6, f"claimed {one.claimed:.4f}")]
        if left is not None and left > one.claimed:
            spans.append(BarSpan(one.claimed, left, 0, f"renormalised {left:.4f}"))
        told = f"{one.claimed:.4f} claimed, {number(left, 4) or 'unknown'} renormalised"
        rows.append(Bar(one.label, told, tuple(spans)))
        sums = number(one.sum_p_mean, 4), number(one.sum_p_max, 2)
        cells.append((one.label, number(one.claimed, 6), *sums, number(left, 6)))
    marks = [tick for tick in ticks(0, longest) if tick <= longest]
    keys = (Key("claimed", 6), Key("what renormalising adds", 0))
    labels = tuple(zip(marks, numbers(marks), strict=True))
    parts: tuple[Part, ...] = (
        Bars("Bits per byte", tuple(rows), 0.0, longest, labels, 0.0, keys),
        Table("", ("score", "claimed bpb", "mean Σp", "most Σp", "renormalised bpb"), tuple(cells)),
    )
    return Section("Claims that are no code lengths", parts, LEAD)
