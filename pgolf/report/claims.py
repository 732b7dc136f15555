"""Published claims beside our runs of the same forms: what is claimed, what rows sum to, and what is left of it.

A log states a score and no sums. A run of the form, at whatever size, shows them: where a row sums to more than one,
the claim is no code length, and a decoder would pay what it comes to once every row is divided by its sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pgolf.report.entry import SUM_TOLERANCE, ReportedRun
from pgolf.report.table import Table, number

HEADER = ("whose", "", "network", "claimed", "mean Σp", "most Σp", "divided by Σp", "what it is")


def claims_table(ours: Iterable[ReportedRun], published: Sequence[ReportedRun]) -> Table | None:
    """None where there is nothing published, or nothing of ours with a score, to hold beside it."""
    shown = [run for run in ours if run.val_bpb is not None]
    claims = [run for run in published if run.val_bpb is not None]
    if not shown or not claims:
        return None
    rows = [_row("published", run, "a claim") for run in claims]
    rows += [_row("ours", run, _what(run)) for run in shown]
    notes = [
        "bits per byte. network: alone, after quantization; of ours on dev, windows side by side. divided by Σp: what "
        "a decoder would pay for the rows of the claim, with what it must be told besides",
        *_different_texts(shown),
    ]
    return Table("Claims, and what their rows sum to", HEADER, tuple(rows), tuple(notes))


def _row(whose: str, run: ReportedRun, what: str) -> tuple[str, ...]:
    claimed = run.val_bpb if run.claimed_bpb is None else run.claimed_bpb
    return (
        whose,
        f"{run.name}, {run.label}",
        number(run.quantized_bpb, 4),
        number(claimed, 4),
        number(run.sum_p_mean, 3),
        number(run.sum_p_max, 2),
        number(run.renormalised_bpb, 4),
        what,
    )


def _what(run: ReportedRun) -> str:
    if run.sum_p_max is not None and run.sum_p_max > 1 + SUM_TOLERANCE:
        return "no code length"
    if run.excluded:
        return f"not counted: {run.excluded}"
    told = run.claimed_bpb is not None and run.val_bpb is not None and run.val_bpb > run.claimed_bpb + SUM_TOLERANCE
    sound = "certified" if run.certificate == "passed" else "not certified"
    return f"{sound}; with what a decoder is told {number(run.val_bpb, 4)}" if told else sound


def _different_texts(ours: Sequence[ReportedRun]) -> Iterable[str]:
    texts = dict.fromkeys(str(run.scored) for run in ours if run.scored)
    if texts:
        yield f"ours: {'; '.join(texts)}; no number of theirs may be set against one of ours, only what became of each"
