"""Score against bytes: which runs no other beats in both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pgolf.report.entry import ReportedRun, ScoredText


@dataclass(frozen=True, slots=True)
class Frontier:
    """Of one text. ``runs`` are all that count and are on it; ``best`` those on the frontier, from the smallest on, of
    ever better scores; ``elsewhere``: how many count but were scored on other texts."""

    text: ScoredText
    runs: tuple[ReportedRun, ...]
    best: tuple[ReportedRun, ...]
    elsewhere: int

    @property
    def cap_bytes(self) -> int | None:
        """The cap, where all runs have one and the same."""
        caps = {run.cap_bytes for run in self.runs}
        return caps.pop() if len(caps) == 1 else None


def frontier(runs: Iterable[ReportedRun]) -> Frontier | None:
    """Over the text that most runs were scored on; None where no score with bytes counts."""
    counted = [run for run in runs if not run.excluded and run.scored and run.val_bpb and run.bytes_total is not None]
    by_text: dict[object, list[ReportedRun]] = {}
    for run in counted:
        assert run.scored is not None
        by_text.setdefault((run.scored.data, run.scored.text), []).append(run)
    if not by_text:
        return None
    most = max(by_text.values(), key=len)
    best: list[ReportedRun] = []
    for run in sorted(most, key=_by_bytes):
        if not best or _bpb(run) < _bpb(best[-1]):
            best.append(run)
    text = most[0].scored
    assert text is not None
    return Frontier(text, tuple(most), tuple(best), len(counted) - len(most))


def _bpb(run: ReportedRun) -> float:
    return run.val_bpb or 0.0


def _by_bytes(run: ReportedRun) -> tuple[int, float]:
    return run.bytes_total or 0, _bpb(run)
