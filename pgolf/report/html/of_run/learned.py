"""Gates, lanes, skip weights and gains as training left them, and as they went where the hook told them."""

from __future__ import annotations

from collections.abc import Iterator

from pgolf.core.errors import UserError
from pgolf.report.html.charts import Curve, curves
from pgolf.report.html.parts import Charts, Notice, Part, Section
from pgolf.report.html.subject import RunPage
from pgolf.report.learned import learned_of_run
from pgolf.report.metrics import means
from pgolf.report.stored import WEIGHTS_NAME
from pgolf.report.table import Table

PLACE = 60
MOST_CHARTS, MOST_POINTS, MOST_LINES = 40, 80, 8
_PREFIX = "learned/"


def section(page: RunPage) -> Section | None:
    parts = tuple(_parts(page))
    return Section("Learned gates, lanes and gains", parts) if parts else None


def _parts(page: RunPage) -> Iterator[Part]:
    if (page.folder / WEIGHTS_NAME).exists() and page.config is not None:
        yield from _tables(page)
    names = [name for name in page.metrics.names if name.startswith(_PREFIX)]
    places: dict[str, list[str]] = {}
    for name in names:
        places.setdefault(name.removeprefix(_PREFIX).rpartition("/")[0], []).append(name)
    charts = []
    for place, found in list(places.items())[:MOST_CHARTS]:
        lines = [
            Curve(name.rpartition("/")[2], means(page.metrics.series(name), MOST_POINTS)[0], colour)
            for colour, name in enumerate(found[:MOST_LINES])
        ]
        charts.append(curves(place, lines, x="steps", y="value"))
    shown = tuple(chart for chart in charts if chart is not None)
    if shown:
        more = len(places) - MOST_CHARTS
        yield Charts(shown, (), (f"{more} more places are in metrics.jsonl",) if more > 0 else ())


def _tables(page: RunPage) -> Iterator[Part]:
    """A table for places with the same labels, such as the layers of one kind."""
    try:
        rows = learned_of_run(page.folder)
    except UserError as error:
        yield Notice(str(error).replace(f"{page.folder}/", ""), "warn")
        return
    places: dict[str, dict[str, float]] = {}
    for row in rows:
        places.setdefault(row.place, {})[row.label] = row.value
    alike: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for place, found in places.items():
        alike.setdefault(tuple(found), []).append((place, *(f"{value:.4f}" for value in found.values())))
    for labels, cells in alike.items():
        yield Table("", ("after training", *labels), tuple(cells))
