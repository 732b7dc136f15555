"""The page: a subject's sections in their places, in one file that needs no other.

Every text goes through ``printable`` and is escaped by the template; pictures alone are markup, made by ``charts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined

from pgolf.core.atomic import write_bytes_atomic
from pgolf.core.errors import ConfigError, RunError
from pgolf.core.registry import modules_of
from pgolf.report.html import of_run, of_set, of_sweep
from pgolf.report.html.parts import Notice, Section
from pgolf.report.html.printable import printable
from pgolf.report.html.subject import RunPage, SetPage, SweepPage, fallen, subjects, sweep_page
from pgolf.report.page import Report
from pgolf.report.sweep import SweepReport
from pgolf.report.table import Table

TEMPLATE = "page.html.j2"
_NUMBER = re.compile(r"([-+−]?[\d,]+(\.\d+)?([eE][-+]?\d+)?( ?%| s)?)?|-")


def write_page(out: Path, report: Report, which: str = "final", sweep: SweepReport | None = None) -> int:
    """Write the page about ``report``, and about ``sweep`` whose runs it is about, to ``out``; returns its bytes.

    Raises UserError.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--html: {out}: a page's name ends in .html")
    if out.is_dir():
        raise ConfigError(f"--html: {out}: a folder is there")
    data = page_text(report, which, sweep).encode()
    write_bytes_atomic(out, data)
    return len(data)


def page_text(report: Report, which: str = "final", sweep: SweepReport | None = None) -> str:
    if sweep is not None:
        about = sweep_page(sweep, report, which)
        placed = [*_made(of_sweep, about), *_made(of_set, about.set, _TOLD)]
        return _written(sweep.file.name, str(sweep.file.path), placed)
    subject = subjects(report, which)
    if isinstance(subject, RunPage):
        return _written(subject.name, f"{subject.label}, {subject.folder}", _made(of_run, subject))
    names, count = [one.name for one in subject.experiments], len(report.runs)
    title = names[0] if len(names) == 1 else f"{len(names)} experiments"
    return _written(title, f"{count} run{'s' * (count != 1)}", _made(of_set, subject))


_TOLD = ("verdicts", "differences", "not_counted")  # sections of a set that those of a sweep stand for
_Placed: TypeAlias = "tuple[float, Section]"


def _made(package: ModuleType, subject: RunPage | SetPage | SweepPage, but: Sequence[str] = ()) -> Iterator[_Placed]:
    """The sections of a package with their places; one that cannot be made says why."""
    for module in modules_of(package, leaves=but):
        try:
            made = module.section(subject)
        except RunError as error:
            folder = subject.folder if isinstance(subject, RunPage) else Path()
            title = module.__name__.rpartition(".")[2].replace("_", " ").capitalize()
            made = Section(title, (Notice(fallen("not shown", error, folder), "warn"),))
        if made is not None:
            yield module.PLACE, made


def _written(title: str, below: str, placed: Iterable[_Placed]) -> str:
    sections = [section for _, section in sorted(placed, key=lambda one: one[0])]
    return _environment().get_template(TEMPLATE).render(title=title, below=below, sections=sections)


@cache
def _environment() -> Environment:
    def shown(value: Any) -> Any:
        return printable(value) if type(value) is str else value

    made = Environment(
        loader=PackageLoader("pgolf.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    made.filters["number_columns"] = _number_columns
    made.tests["part"] = lambda value, name: type(value).__name__ == name
    return made


def _number_columns(table: Table) -> list[bool]:
    """Which columns stand to the right: those of numbers, and of nothing else."""
    cells = [[row[i] if i < len(row) else "" for row in table.rows] for i in range(len(table.header))]
    return [any(column) and all(_NUMBER.fullmatch(cell) for cell in column) for column in cells]
