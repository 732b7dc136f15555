"""Every arm with its seeds, and over the key they differ in where that is one number; others' numbers beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgolf.report.against import described
from pgolf.report.html.charts import Curve, curves, numbers, scale_of, ticks
from pgolf.report.html.parts import Bar, Bars, BarSpan, Charts, Part, Section
from pgolf.report.html.subject import SweepPage
from pgolf.report.sweep import Arm
from pgolf.report.sweep_picture import half_interval, numbers_of, numeric_key

PLACE = 15


def section(page: SweepPage) -> Section | None:
    scored = [arm for arm in page.sweep.arms if arm.points]
    parts: list[Part] = []
    if scored:
        parts += _over_a_number(scored)
        parts.append(_scores(scored, page))
    if (differences := _differences(page)) is not None:
        parts.append(differences)
    return Section("What it found", (*parts, *page.sweep.tables()))


def _over_a_number(scored: Sequence[Arm]) -> Iterator[Charts]:
    key = numeric_key(scored)
    if not key:
        return
    groups: dict[str, list[Arm]] = {}
    for arm in scored:
        rest = " ".join(word for word in arm.words.split() if word.partition("=")[0] != key)
        groups.setdefault(rest, []).append(arm)
    lines = []
    for colour, (label, members) in enumerate(groups.items()):
        members.sort(key=lambda arm: numbers_of(arm)[key])
        claimed = [(numbers_of(arm)[key], _mean_claim(arm)) for arm in members]
        claims = [(x, y) for x, y in claimed if y is not None]
        points, bars = [], []
        for arm in members:
            x, sample = numbers_of(arm)[key], arm.sample
            assert sample is not None
            points.append((x, sample.mean))
            half = half_interval(arm)
            bars += [(x, sample.mean - half, sample.mean + half)] if half else []
        told = f"{label or 'bits per byte'}{', divided by Σp' if claims else ''}"
        lines.append(Curve(told, points, colour, dots=True, bars=bars))
        if claims:
            lines.append(Curve(f"{label}, claimed".strip(", "), claims, colour, dots=True, dashed=True))
    chart = curves(f"bits per byte over {key}", lines, x=key, y="bits per byte")
    if chart is not None:
        claimed_told = ("dashed: as claimed, no code length",) if any(line.dashed for line in lines) else ()
        yield Charts((chart,), (), ("error bars: 95 % intervals of the mean", *claimed_told))


def _mean_claim(arm: Arm) -> float | None:
    """Of an arm whose rows need not sum to one; the table's number."""
    known = [point.claimed for point in arm.points if point.claimed is not None]
    return sum(known) / len(known) if known else None


def _scores(scored: Sequence[Arm], page: SweepPage) -> Bars:
    rows, values = [], []
    for arm in scored:
        sample, half = arm.sample, half_interval(arm)
        assert sample is not None
        whisker = (sample.mean - half, sample.mean + half) if half else None
        points = tuple(point.bpb for point in arm.points)
        label = page.arm_label(arm)
        rows.append(Bar(label, described(sample), (), whisker, points, sample.mean))
        values += [*points, sample.mean]
    low, high, labels = scale_of(values, 0.15)
    notes = ("rings: one seed each; dot and bar: their mean and its 95 % interval, cut where it leaves the picture",)
    return Bars("Bits per byte", tuple(rows), low, high, labels, None, (), notes)


def _differences(page: SweepPage) -> Bars | None:
    base = page.sweep.base
    if base is None:
        return None
    rows, ends, sure = [], [0.0], [0.0]
    for arm in page.sweep.arms:
        if arm is page.sweep.arms[base]:
            continue
        if arm.paired is None:
            rows.append(Bar(page.arm_label(arm), arm.shown, kind="warn"))
            continue
        colour = {"better": 2, "worse": 6}.get(arm.shown, 7)
        low, high = sorted((0.0, arm.paired.mean))
        kind = {"better": "good", "worse": "bad"}.get(arm.shown, "")
        rows.append(
            Bar(
                page.arm_label(arm),
                f"{arm.paired.mean:+.4f}, {arm.shown}",
                (BarSpan(low, high, colour),),
                arm.paired.interval,
                tuple(arm.paired.by_seed.values()),
                kind=kind,  # type: ignore[arg-type]
            )
        )
        sure += [low, high, *arm.paired.by_seed.values()]
        ends += arm.paired.interval or ()
    if len(sure) == 1:
        return None
    widest = 2 * (max(sure) - min(sure))  # an interval of two seeds may be a hundred times as wide as what it is about
    ends = [end for end in ends if min(sure) - widest <= end <= max(sure) + widest] + sure
    room = 0.05 * (max(ends) - min(ends)) or 0.01
    low, high = min(ends) - room, max(ends) + room
    marks = [tick for tick in ticks(low, high) if low <= tick <= high]
    labels = tuple((mark, text if mark <= 0 else f"+{text}") for mark, text in zip(marks, numbers(marks), strict=True))
    notes = (
        "bars: mean of the differences seed by seed; rings: each of them; error bars: their 95 % interval, cut "
        "where it leaves the picture; to the left is better",
    )
    title = f"Bits per byte more or less than {page.sweep.arms[base].words or 'as it is'}"
    return Bars(title, tuple(rows), low, high, labels, 0.0, (), notes)
