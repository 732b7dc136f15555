"""The whole report: experiments, what is not counted, differences, verdicts, in that order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgolf.report.ablation import PublishedRow, ablation_table, base_of
from pgolf.report.against import Comparison, Reference, compared
from pgolf.report.entry import ReportedRun
from pgolf.report.experiments import Experiment
from pgolf.report.gather import Problem
from pgolf.report.seeds import not_counted, row_table, seed_table
from pgolf.report.table import Table, wrapped


@dataclass(frozen=True, slots=True)
class Page:
    """``tables`` in the order in which they are read, and the verdicts below the last of them."""

    tables: tuple[Table, ...]
    comparisons: tuple[Comparison, ...]

    def lines(self, markdown: bool = False) -> Iterator[str]:
        for number, table in enumerate(self.tables):
            yield from (
                ["", *table.text()] if number and not markdown else table.text() if not markdown else table.markdown()
            )
        for comparison in self.comparisons:
            if markdown:
                yield from [*comparison.table.markdown(), f"**{comparison.sentence}**", ""]
            else:
                yield from ["", *comparison.table.text(), *wrapped(f"verdict: {comparison.sentence}")]


def page(
    ours: Sequence[Experiment],
    published: Sequence[Experiment],
    problems: Sequence[Problem],
    configs: Mapping[str, Mapping[str, Any]],
    *,
    rows: Sequence[ReportedRun] = (),
    base: str = "",
    rows_of_others: Sequence[PublishedRow] = (),
    references: Sequence[Reference] = (),
) -> Page:
    """The report of our experiments, published ones beside them; ``rows`` are of tables that others kept.

    Where there are none of ours, the published ones are what is compared. Raises RunError for a base that is none.
    """
    tables = [seed_table(one) for one in (*ours, *published)]
    tables += [row_table(rows)] if rows else []
    left_out = not_counted([run for one in (*ours, *published) for run in one.runs] + list(rows), problems)
    tables += [left_out] if left_out else []
    if len(ours) > 1:
        tables.append(ablation_table(ours, base_of(ours, configs, base), configs, rows_of_others))
    return Page(
        tuple(tables), tuple(compared(one, reference) for reference in references for one in (ours or published))
    )
