"""The whole report: what it found, and its text: experiments, claims beside ours, what is not counted, differences,
verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgolf.report.ablation import Ablation, PublishedRow, ablation, base_of
from pgolf.report.against import Comparison, Reference, compared
from pgolf.report.claims import claims_table
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


@dataclass(frozen=True, slots=True)
class Report:
    """What a page, on a terminal or in a browser, is made of. ``ours``, and ``published`` beside them; ``rows``: of
    tables that others kept; ``configs`` by the key of an experiment; ``ablation``: None for fewer than two of ours."""

    ours: tuple[Experiment, ...]
    published: tuple[Experiment, ...]
    rows: tuple[ReportedRun, ...]
    problems: tuple[Problem, ...]
    configs: Mapping[str, Mapping[str, Any]]
    ablation: Ablation | None
    comparisons: tuple[Comparison, ...]

    @property
    def runs(self) -> tuple[ReportedRun, ...]:
        """Of all experiments, those that do not count too."""
        return tuple(run for one in (*self.ours, *self.published) for run in one.runs)

    @property
    def not_counted(self) -> Table | None:
        return not_counted([*self.runs, *self.rows], self.problems)

    def page(self) -> Page:
        tables = [seed_table(one) for one in (*self.ours, *self.published)]
        tables += [row_table(self.rows)] if self.rows else []
        claims = claims_table(*([run for one in found for run in one.runs] for found in (self.ours, self.published)))
        tables += [claims] if claims else []
        left_out = self.not_counted
        tables += [left_out] if left_out else []
        tables += [self.ablation.table()] if self.ablation else []
        return Page(tuple(tables), self.comparisons)


def report(
    ours: Sequence[Experiment],
    published: Sequence[Experiment],
    problems: Sequence[Problem],
    configs: Mapping[str, Mapping[str, Any]],
    *,
    rows: Sequence[ReportedRun] = (),
    base: str = "",
    rows_of_others: Sequence[PublishedRow] = (),
    references: Sequence[Reference] = (),
) -> Report:
    """The report of our experiments, published ones beside them; ``rows`` are of tables that others kept.

    Where there are none of ours, the published ones are what is compared. Raises RunError for a base that is none.
    """
    several = len(ours) > 1
    return Report(
        tuple(ours),
        tuple(published),
        tuple(rows),
        tuple(problems),
        configs,
        ablation(ours, base_of(ours, configs, base), configs, rows_of_others) if several else None,
        tuple(compared(one, reference) for reference in references for one in (ours or published)),
    )
