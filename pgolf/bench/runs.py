"""``pgolf bench runs``: how long the history of many run folders takes, which are made for it and taken away again.

Each row is one question of ``pgolf runs``: CPU seconds of this process beside wall seconds, which on a busy machine say
little. Folders are copies of one small result and config, three seeds a config, as runs leave them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, shares, taken
from pgolf.core.command import at_least, guarded

if TYPE_CHECKING:
    from pgolf.core.results import Score
    from pgolf.report.history import HistoryRow

_SEEDS = 3
_QUESTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "all, newest first": ((), "-date"),
    "by score": (("score<1.3",), "score"),
    "by an option": (("arch=baseline",), "-date"),
    "by a key of the config": (("train.grad_clip>0",), "-date"),
}


def add_parser(subparsers: Any) -> None:
    """Add ``runs``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "runs",
        help="seconds that the history of many runs takes",
        description="Makes run folders in a temporary place, asks pgolf runs four questions, and prints the seconds.",
    )
    parser.add_argument("--runs", type=at_least(1), default=10_000, help="folders (default: 10000)")
    parser.set_defaults(run=guarded("bench runs", _run))


def _run(arguments: argparse.Namespace) -> None:
    from pgolf.report.table import Table

    with TemporaryDirectory(prefix="pgolf-runs-") as place:
        make_runs(Path(place), arguments.runs)
        rows = []
        for question, (filters, sort) in _QUESTIONS.items():
            cpu, wall = time.process_time(), time.perf_counter()
            found = history(Path(place), filters, sort)
            spent = time.process_time() - cpu, time.perf_counter() - wall
            rows.append((question, f"{len(found):,}", *(f"{seconds:.2f}" for seconds in spent)))
    header = ("question", "runs", "CPU s", "wall s")
    print("\n".join(Table(f"history of {arguments.runs:,} runs", header, tuple(rows)).text()))


def session(setting: Setting) -> RunsSession:
    return RunsSession(setting)


class RunsSession:
    """Its part in the table of ``pgolf bench``: every question, and the report, beside reading the files alone."""

    def __init__(self, setting: Setting) -> None:
        self.count = 6 if setting.tiny else 150
        self.folder = TemporaryDirectory(prefix="pgolf-runs-")
        self.root = Path(self.folder.name)
        make_runs(self.root, self.count)
        self.size = {"runs": self.count}

    def round(self) -> Sequence[Reading]:
        reading = taken(lambda: [path.read_bytes() for path in self.root.glob("*/*/result.json")])
        found = []
        for question, (filters, sort) in _QUESTIONS.items():
            spent = taken(partial(history, self.root, filters, sort))
            parts = {"reading files": min(reading, spent), "parsing, checking, sorting": max(spent - reading, 0.0)}
            found.append(_reading(question, self.count, spent, reading, shares(parts)))
        report = taken(lambda: report_lines(self.root))
        parts = {"reading files": min(reading, report), "parsing, statistics": max(report - reading, 0.0)}
        return [*found, _reading("report", self.count, report, reading, shares(parts))]

    def close(self) -> None:
        self.folder.cleanup()


def _reading(name: str, count: int, seconds: float, least: float, where: str) -> Reading:
    return Reading(name, count / seconds, "runs/s", floor=count / least, of="reading result.json", where=where)


def history(root: Path, filters: Sequence[str], sort: str) -> Sequence[HistoryRow]:
    """What ``pgolf runs`` finds below ``root``."""
    from pgolf.report.history import RunHistory

    return RunHistory([root]).chosen(filters, sort)


def report_lines(root: Path) -> list[str]:
    """What ``pgolf report`` prints of the runs below ``root``."""
    from pgolf.report.experiments import experiments
    from pgolf.report.gather import gather
    from pgolf.report.page import report

    found = gather([root], "final")
    made = report(experiments(found.entries, []), experiments([]), found.problems, found.configs)
    return list(made.page().lines(markdown=False))


def make_runs(root: Path, count: int) -> None:
    """``count`` folders of finished runs below ``root``, their scores rising."""
    from pgolf.config.compose import checked, to_yaml
    from pgolf.core.results import Artifact, Certificate, ProbeResult, TrainResult
    from pgolf.track.jsonable import to_json
    from pgolf.track.result import RESULT_NAME, SCORE_NAMES, ModelFacts, RunFacts, build_result

    config = to_yaml(checked([]))
    probes = tuple(ProbeResult(letter, "probe", True, {"positions": 1000}, "passed", 1.0) for letter in "abcdefg")
    certificate = Certificate(probes, "raw", "A", "landlock 7", "counted script")
    artifact = Artifact(
        path=root / "artifact.pgolf",
        bytes_total=900_000,
        bytes_weights=840_000,
        bytes_code=50_000,
        bytes_tokenizer=10_000,
        bytes_by_role={},
        cap_bytes=1_000_000,
        counts_tokenizer=True,
        code_label="bundle",
        sha256="",
        code_sha256="b" * 64,
    )
    for index in range(count):
        bpb, number, seed = 1.2 + index * 1e-5, index // _SEEDS, index % _SEEDS + 1
        scores = {name: _score(bpb, "val" if name == "final" else "dev") for name in SCORE_NAMES}
        folder = root / f"run-{number:06}" / f"seed={seed}"
        folder.mkdir(parents=True)
        result = build_result(
            status="finished",
            reason="",
            run=RunFacts(folder.parent.name, seed, 1, "c" * 40, False, f"{number:064x}", "python train.py"),
            budget={"name": "laptop", "train_seconds": 300.0, "eval_seconds": 300.0, "cap_bytes": 1_000_000},
            ledger={"train": 290.0, "evaluate": 61.0},
            model=ModelFacts(1_500_000, "laptop"),
            train=TrainResult({}, 290.0, 1000, 4_000_000, "wallclock"),
            artifact=replace(artifact, sha256=f"{index:064x}"),
            scores=scores,
            certificate=certificate,
        )
        (folder / RESULT_NAME).write_text(to_json(result, indent=2))  # not synced one by one, as a run does
        (folder / "config.yaml").write_text(config)


def _score(bpb: float, split: str) -> Score:
    from pgolf.core.results import Score

    tokens, count = 268_238, 1_149_007
    return Score(
        val_loss=bpb * math.log(2) * count / tokens,
        val_bpb=bpb,
        side_bits=0.0,
        sum_p_mean=1.0,
        sum_p_max=1.0,
        claimed_bpb=bpb,
        renormalised_bpb=bpb,
        method="sliding",
        window=512,
        stride=128,
        metric="raw",
        split=split,
        subset=False,
        tokens=tokens,
        bytes=count,
        seconds=60.0,
        valid=split == "val",
    )
