"""The table of ``pgolf bench``, and what is said of two of them."""

from __future__ import annotations

from collections.abc import Sequence

from pgolf.bench.figures import Figure, FigureChange, Sheet, change

_HEADER = ("benchmark", "figure", "", "±", "floor", "ratio", "of", "where the time goes")
_CHANGES = ("benchmark", "old", "new", "", "new/old", "from", "to", "of", "")


def lines(sheet: Sheet) -> list[str]:
    from pgolf.report.table import Table

    rows = [
        _row(f"{bench}: {figure.name}", figure)
        for bench, measured in sheet.benches.items()
        for figure in measured.figures
    ]
    notes = [
        f"{bench}: not measured: {measured.reason}" for bench, measured in sheet.benches.items() if measured.reason
    ]
    machine = sheet.machine["processor"]
    title = f"{machine}; medians of {sheet.rounds} rounds, ± half the interval of the median; ratio: figure by floor"
    return Table(title, _HEADER, tuple(rows), tuple(notes)).text()


def _row(name: str, figure: Figure) -> tuple[str, ...]:
    floor, share = "", ""
    if figure.share is not None:
        floor, share = (
            shown(figure.value / figure.share),
            f"{figure.share:.3f}" if figure.share < 10 else shown(figure.share),
        )
    spread = "exact" if figure.exact else f"{100 * figure.spread:.0f} %"
    return (name, shown(figure.value), figure.unit, spread, floor, share, figure.of, figure.where)


def change_lines(changes: Sequence[FigureChange], title: str, notes: Sequence[str] = ()) -> list[str]:
    """What moved first, then what is within noise."""
    from pgolf.report.table import Table

    still = ("the same", "within noise", "too few rounds")
    ordered = sorted(changes, key=lambda change: change.verdict in still)
    rows = tuple(_change_row(change) for change in ordered)
    moved = sum(change.verdict not in still for change in changes)
    told = [f"{moved} of {len(changes)} figures moved beyond noise"] if changes else ["no figure is in both"]
    least = min((change.ratio.coverage for change in changes if change.basis != "exact"), default=None)
    if least is not None:
        told.append(
            f"the interval of a median covers it with {100 * least:.1f} %; of many figures some leave theirs by chance"
        )
    if any(change.basis == "absolute" for change in changes):
        told.append("absolute: no floor of the machine divides its mood out; measure with --against to be sure")
    return Table(title, _CHANGES, rows, (*told, *notes)).text()


def comparison(old: Sheet, new: Sheet, where: str) -> list[str]:
    """What moved from one sheet to the other, which are of one machine."""
    changes, notes = [], []
    for bench, measured in new.benches.items():
        before = old.benches.get(bench)
        if before is None or before.reason or measured.reason:
            why = "is not in it" if before is None else before.reason or measured.reason
            notes.append(f"{bench}: not compared: {why}")
            continue
        figures = {figure.name: figure for figure in before.figures}
        changes += [change(bench, figures[one.name], one) for one in measured.figures if one.name in figures]
        notes += [f"{bench}: {one.name}: only here" for one in measured.figures if one.name not in figures]
        names = {one.name for one in measured.figures}
        notes += [f"{bench}: {name}: only in {where}" for name in figures if name not in names]
    for key in sorted({*old.about, *new.about}):
        if old.about.get(key) != new.about.get(key):
            notes.append(f"{key}: {old.about.get(key)} there, {new.about.get(key)} here")
    return change_lines(changes, f"since {where}: new ÷ old of medians", notes)


def _change_row(change: FigureChange) -> tuple[str, ...]:
    ratio = change.ratio
    return (
        f"{change.bench}: {change.name}",
        *(shown(change.old), shown(change.new), change.unit),
        *(f"{ratio.middle:.3f}", f"{ratio.low:.3f}", f"{ratio.high:.3f}", change.basis, change.verdict),
    )


def shown(value: float) -> str:
    """Four digits, or all of a whole part that has more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
