"""Run folders that hold all that a page can show, and the page of some folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from pgolf.core.results import SignalTrace
from pgolf.report.experiments import experiments
from pgolf.report.gather import gather
from pgolf.report.html.document import page_text
from pgolf.report.page import Report, report
from tests.report.making import write_run


def report_of(*paths: Path, which: str = "final", **more: Any) -> Report:
    found = gather(paths, which)
    return report(experiments(found.entries), [], found.problems, found.configs, **more)


def page_of(*paths: Path, which: str = "final", **more: Any) -> str:
    return page_text(report_of(*paths, which=which, **more), which)


def trace(name: str) -> SignalTrace:
    curve = tuple(None if i == 3 else 0.5 + i / 100 for i in range(64))
    return SignalTrace(name, 1000, 0.75, 0.125, 0.0, 1.25, curve)


def write_metrics(folder: Path, steps: int = 40, **more: float) -> None:
    lines = []
    for step in range(1, steps + 1):
        line = {"step": step, "seconds": step + 5.0, "train_seconds": float(step), "train_loss": 8 - step / 10}
        lines.append(line | {"lr_scale": 1.0, "tokens_per_second": 9000.0 + step})
        if step % 10 == 0:
            lines.append({"step": step, "train_seconds": float(step), "dev_bpb": 2 - step / 100, "dev_loss": 5.0})
            lines.append({"step": step, "train_seconds": float(step), **more})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_full(root: Path, name: str = "x", seed: int = 1, bpb: float = 1.2, **changes: Any) -> Path:
    """A run with metrics, norms, learned numbers, traces and the numbers of a certificate."""
    folder = write_run(root, name, seed, bpb, traces=(trace("tree.weight_network"), trace("gates")), **changes)
    norms = {"grad_norm": 1.0, "grad_norm/matrix": 0.9, "weight_rms/matrix": 0.1, "learned/skip/gate[0]": 0.3}
    write_metrics(folder, **norms)
    path = folder / "result.json"
    result = json.loads(path.read_text())
    probe = result["certificate"]["probes"][0]
    measured = {"looked_at": 900, "planned": 900, "uniform": 300, "bound": 0.0125}
    result["certificate"]["probes"] += [
        probe | {"letter": "b", "name": "prefix-only audit", "measured": measured},
        probe | {"letter": "f", "name": "decoding", "measured": {"decoded": 321}},
    ]
    path.write_text(json.dumps(result))
    return folder


def plain(one: SignalTrace) -> dict[str, Any]:
    return asdict(one)


class Markup(HTMLParser):
    """What a page consists of. ``open``: elements that were not closed; ``attributes`` with the element they are of."""

    EMPTY = ("meta", "link")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def fetched(markup: Markup) -> Iterator[str]:
    """What a browser would be told to fetch."""
    for tag, name, value in markup.attributes:
        if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            yield f"{tag} {name}={value}"
