"""The page: a subject's sections in their places, in one file that needs no other.

Every text goes through ``printable`` and is escaped by the template; pictures alone are markup, made by ``charts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pgolf.core.atomic import write_bytes_atomic
from pgolf.core.errors import ConfigError, RunError
from pgolf.core.registry import modules_of
from pgolf.report.html import of_run, of_set
from pgolf.report.html.parts import Notice, Section
from pgolf.report.html.printable import printable
from pgolf.report.html.subject import RunPage, SetPage, fallen, subjects
from pgolf.report.page import Report
from pgolf.report.table import Table

TEMPLATE = "page.html.j2"
_NUMBER = re.compile(r"([-+−]?[\d,]+(\.\d+)?([eE][-+]?\d+)?( ?%| s)?)?|-")


def write_page(out: Path, report: Report, which: str = "final") -> int:
    """Write the page about ``report`` to ``out``; returns its bytes. Raises UserError."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--html: {out}: a page's name ends in .html")
    if out.is_dir():
        raise ConfigError(f"--html: {out}: a folder is there")
    data = page_text(report, which).encode()
    write_bytes_atomic(out, data)
    return len(data)


def page_text(report: Report, which: str = "final") -> str:
    subject = subjects(report, which)
    title, below = _titles(subject)
    package = of_run if isinstance(subject, RunPage) else of_set
    made = list(_sections(subject, package))
    return _environment().get_template(TEMPLATE).render(title=title, below=below, sections=made)


def _titles(subject: RunPage | SetPage) -> tuple[str, str]:
    if isinstance(subject, RunPage):
        return subject.name, f"{subject.label}, {subject.folder}"
    experiments, runs = len(subject.experiments), len(subject.report.runs)
    names = [one.name for one in subject.experiments]
    title = names[0] if len(names) == 1 else f"{experiments} experiments"
    return title, f"{runs} run{'s' * (runs != 1)}"


def _sections(subject: RunPage | SetPage, package: ModuleType) -> Iterator[Section]:
    """In the order of their places; one that cannot be made says why."""
    for module in sorted(modules_of(package), key=lambda module: module.PLACE):
        try:
            made = module.section(subject)
        except RunError as error:
            folder = subject.folder if isinstance(subject, RunPage) else Path()
            title = module.__name__.rpartition(".")[2].replace("_", " ").capitalize()
            made = Section(title, (Notice(fallen("not shown", error, folder), "warn"),))
        if made is not None:
            yield made


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
