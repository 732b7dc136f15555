"""A sweep as one small picture, and as a table for other programs; matplotlib (the extra ``plot``) is imported late."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pgolf.core.atomic import write_text_atomic
from pgolf.core.errors import RunError
from pgolf.report.statistics import Sample, t_quantile
from pgolf.report.sweep import Arm, SweepReport
from pgolf.track.curves import picture

COLUMNS = ("arm", "seed", "bpb", "claimed", "mean_sum", "bytes", "ms_per_step", "difference_paired", "outcome")


def write_csv(report: SweepReport, out: Path) -> None:
    """One row a score, then one for each job without. Raises RunError where it cannot be written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm in report.arms:
        for point in arm.points:
            difference = arm.paired.by_seed.get(point.seed) if arm.paired else None
            cells = (point.bpb, point.claimed, point.sum_p_mean, point.bytes_total, point.ms_per_step, difference)
            writer.writerow([arm.words, point.seed, *map(_cell, cells), "scored"])
    for one in report.unseen:
        seed = "" if one.seed is None else one.seed
        writer.writerow([one.words, seed, *[""] * 6, f"{one.what}: {one.why}"])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out.parent}: cannot be made ({error.strerror or error})") from error
    write_text_atomic(out, text.getvalue())


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def draw_sweep(report: SweepReport, out: Path) -> None:
    """Draw the arms into ``out``; its ending chooses the format: over the key they differ in, if that is one number,
    else one below the other. Raises RunError where there is nothing to draw, or matplotlib is missing."""
    scored = [arm for arm in report.arms if arm.points]
    if not scored:
        raise RunError(f"{report.file.name}: no job has a score; there is nothing to draw")
    key = numeric_key(scored)
    height = 3.4 if key else 1.2 + 0.28 * len(scored)
    panels = 1 if key else 2
    with picture(out, (7.2 if key else 9.0, height), panels=panels) as drawn:
        title = report.file.heads.get("Question") or report.file.name
        drawn[0].figure.suptitle(f"{report.file.name}: {title}", fontsize=9, wrap=True)
        if key:
            _lines(drawn[0], scored, key)
        else:
            _dots(drawn[0], scored, report)
            _differences(drawn[1], scored)


def numeric_key(arms: Sequence[Arm]) -> str:
    """The one key, if any, that has three numbers or more among the arms, and each of them but the base a number."""
    values: dict[str, set[float]] = {}
    for arm in arms:
        for key, number in numbers_of(arm).items():
            values.setdefault(key, set()).add(number)
    found = [key for key, numbers in values.items() if len(numbers) > 2 and all(key in numbers_of(arm) for arm in arms)]
    return max(found, key=lambda key: len(values[key]), default="")


def numbers_of(arm: Arm) -> Mapping[str, float]:
    found = {}
    for word in arm.words.split():
        key, _, value = word.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            continue
    return {key: number for key, number in found.items() if math.isfinite(number)}


def _lines(axes: Any, arms: Sequence[Arm], key: str) -> None:
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        rest = " ".join(word for word in arm.words.split() if word.partition("=")[0] != key)
        groups.setdefault(rest, []).append(arm)
    for label, members in groups.items():
        members.sort(key=lambda arm: numbers_of(arm)[key])
        at = [numbers_of(arm)[key] for arm in members]
        claims = [[p.claimed for p in arm.points if p.claimed is not None] for arm in members]
        line = axes.errorbar(
            at,
            [_mean(arm) for arm in members],
            yerr=[half_interval(arm) for arm in members],
            marker="o",
            markersize=3,
            linewidth=1,
            capsize=2,
            label=f"{label}{', divided by Σp' if any(claims) else ''}".strip(", ") or None,
        )
        if any(claims):
            axes.plot(
                [x for x, claim in zip(at, claims, strict=True) if claim],
                [math.fsum(claim) / len(claim) for claim in claims if claim],
                linestyle="--",
                marker="o",
                markersize=3,
                linewidth=1,
                color=line.lines[0].get_color(),
                markerfacecolor="white",
                label=f"{label}, claimed",
            )
    axes.set(xlabel=key, ylabel="bits per byte")
    if any(groups):
        axes.legend(fontsize=7)


def _dots(axes: Any, arms: Sequence[Arm], report: SweepReport) -> None:
    base = report.arms[report.base] if report.base is not None else None
    for row, arm in enumerate(arms):
        axes.errorbar(
            _mean(arm), row, xerr=half_interval(arm), marker="o", markersize=4, capsize=3, linewidth=1, color="C0"
        )
        axes.plot([p.bpb for p in arm.points], [row] * len(arm.points), ".", markersize=4, color="gray", alpha=0.7)
    if base is not None and base.points:
        axes.axvline(_mean(base), linestyle=":", linewidth=1, color="gray")
    axes.set_yticks(range(len(arms)), [arm.words or "as it is" for arm in arms], fontsize=7)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel("bits per byte; bars: 95 % interval of the mean")


def _differences(axes: Any, arms: Sequence[Arm]) -> None:
    for row, arm in enumerate(arms):
        if arm.paired is None:
            continue
        low, high = arm.paired.interval or (arm.paired.mean, arm.paired.mean)
        color = {"better": "C2", "worse": "C3"}.get(arm.shown, "gray")
        reach = [[arm.paired.mean - low], [high - arm.paired.mean]]
        axes.errorbar(arm.paired.mean, row, xerr=reach, marker="o", markersize=4, capsize=3, linewidth=1, color=color)
    axes.axvline(0, linestyle=":", linewidth=1, color="gray")
    axes.set_yticks(range(len(arms)), [""] * len(arms))
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel("difference seed by seed, 95 % interval")


def _mean(arm: Arm) -> float:
    sample = arm.sample
    assert sample is not None
    return sample.mean


def half_interval(arm: Arm) -> float:
    """Half of the 95 % interval of the mean; 0 for one seed."""
    sample: Sample | None = arm.sample
    if sample is None or not sample.std:
        return 0.0
    return t_quantile(0.975, sample.n - 1) * sample.std / math.sqrt(sample.n)
