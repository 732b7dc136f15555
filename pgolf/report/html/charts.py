"""Curves and clouds of points as SVG, small enough that text in them can be read on a narrow screen.

Elements are built as a tree and serialised by the standard library, which escapes whatever names they carry. Colours
are classes of the page's style sheet, so that a picture is light and dark as the page is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element, SubElement, tostring

from pgolf.report.html.parts import COLOURS, Chart, Key
from pgolf.report.html.printable import printable

WIDTH, HEIGHT = 420.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 10.0, 10.0, 40.0
_EDGE = 4.0  # that dots may stand over at the sides
_NEAR_ZERO = 0.35  # of the whole: an axis that begins so near to 0 begins there
_MOST_TICKS, _LEAST_STEP = 5, 1e-300
_MOST_DIGITS = 5  # beside a letter for thousands


@dataclass(frozen=True, slots=True)
class Curve:
    label: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    dots: bool = False
    dashed: bool = False
    bars: Sequence[tuple[float, float, float]] = ()  # x, and the ends of an error bar there


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    title: str
    colour: int = 0
    mark: str = ""
    small: bool = False


class _Axis:
    """Values on pixels from ``start`` to ``end``."""

    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False) -> None:
        if log:
            low, high = math.log10(low), math.log10(high)
        self.ticks = [t for t in ticks(low, high) if low <= t <= high]
        self.low, self.high, self.start, self.end, self.log = low, high, start, end, log

    def __call__(self, value: float) -> float:
        value = math.log10(value) if self.log else value
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    def labels(self) -> list[tuple[float, str]]:
        values = [10**t for t in self.ticks] if self.log else self.ticks
        return list(zip(values, numbers(values), strict=True))


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, about five of them, from ``low`` to beyond ``high``."""
    step = max((high - low) / _MOST_TICKS or abs(low) or 1.0, _LEAST_STEP)
    size = 10.0 ** math.floor(math.log10(step))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= step * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [(first + i) * step for i in range(_MOST_TICKS + 2) if (first + i) * step <= high + step * 1e-9]


def scale_of(values: Sequence[float], room: float) -> tuple[float, float, tuple[tuple[float, str], ...]]:
    """From where to where bars of these values go, with a share ``room`` of their range free at both ends, and the
    labelled ticks between."""
    free = room * (max(values) - min(values)) or 0.01
    low, high = min(values) - free, max(values) + free
    marks = [tick for tick in ticks(low, high) if low <= tick <= high]
    return low, high, tuple(zip(marks, numbers(marks), strict=True))


def numbers(values: Sequence[float]) -> list[str]:
    """Each with as few digits as tell them apart; thousands and millions as letters, where that is shorter."""
    largest = max(map(abs, values), default=0.0)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * unit or (largest >= unit > 1e3):
            texts = _short([value / unit for value in values])
            if max(map(len, texts)) <= _MOST_DIGITS:
                return [f"{text}{letter}" if float(text.replace(",", "")) else "0" for text in texts]
    return _short(values)


def _short(values: Sequence[float]) -> list[str]:
    for digits in range(7):
        texts = [f"{value:,.{digits}f}" for value in values]
        if all(
            abs(float(t.replace(",", "")) - v) <= 1e-6 * max(1e-9, abs(v)) for t, v in zip(texts, values, strict=True)
        ):
            return texts
    return [f"{value:.3g}" for value in values]


def curves(
    title: str,
    lines: Sequence[Curve],
    *,
    x: str,
    y: str,
    levels: Sequence[tuple[float, str]] = (),
    log: bool = False,
    limits: tuple[float, float] | None = None,
    keys: bool = True,
    note: str = "",
) -> Chart | None:
    """``lines`` in one picture, dashed ``levels`` across it; None for nothing to draw. ``limits``: of y."""
    lines = [replace(one, points=_fit(one.points, log)) for one in lines]
    lines = [one for one in lines if one.points]
    if not lines:
        return None
    xs = [px for one in lines for px, _ in one.points]
    ys = [py for one in lines for _, py in one.points]
    low, high = limits or _range([*ys, *(level for level, _ in levels)], log)
    first, last = min(xs), max(xs)
    first = 0.0 if 0 < first < _NEAR_ZERO * last else first
    svg, to_x, to_y = _frame(title, (first, last), (low, high), x, y, log)
    left, wide = _LEFT - _EDGE, WIDTH - _LEFT - _RIGHT + 2 * _EDGE
    plot = SubElement(svg, "svg", x=_f(left), y=_f(_TOP), width=_f(wide), height=_f(_inner()))
    plot.set("viewBox", f"{_f(left)} {_f(_TOP)} {_f(wide)} {_f(_inner())}")
    for value, label in levels:
        at = _f(to_y(value))
        SubElement(plot, "line", {"class": "level", "x1": _f(_LEFT), "x2": _f(WIDTH - _RIGHT), "y1": at, "y2": at})
        _text(plot, _LEFT + 4, to_y(value) - 4, label, "note", "start")
    for one in lines:
        colour = f"c{one.colour % COLOURS}" + (" again" if one.colour >= COLOURS or one.dashed else "")
        for px, bottom, top in one.bars:
            at, ends = _f(to_x(px)), (_f(to_y(bottom)), _f(to_y(top)))
            SubElement(plot, "line", {"class": f"bars {colour}", "x1": at, "x2": at, "y1": ends[0], "y2": ends[1]})
        path = " ".join(f"{_f(to_x(px))},{_f(to_y(py))}" for px, py in one.points)
        drawn = SubElement(plot, "polyline", {"class": f"line {colour}", "points": path})
        SubElement(drawn, "title").text = printable(one.label)
        if one.dots or len(one.points) == 1:
            for px, py in one.points:
                place = {"class": f"dot {colour}", "cx": _f(to_x(px)), "cy": _f(to_y(py)), "r": "3"}
                SubElement(SubElement(plot, "circle", place), "title").text = printable(
                    f"{one.label}: {py:,.6g} at {px:,.6g}"
                )
    shown = tuple(Key(one.label, one.colour + COLOURS * one.dashed) for one in lines) if keys and len(lines) > 1 else ()
    return Chart(title, tostring(svg, encoding="unicode"), shown, note)


def cloud(
    title: str,
    dots: Sequence[Dot],
    *,
    x: str,
    y: str,
    keys: Sequence[Key] = (),
    staircase: Sequence[tuple[float, float]] = (),
    wall: tuple[float, str] | None = None,
    note: str = "",
) -> Chart | None:
    """Points, a ``staircase`` through some of them, and a ``wall`` at some x."""
    if not dots:
        return None
    low, high = _range([dot.y for dot in dots], False)
    xs = [dot.x for dot in dots] + ([wall[0]] if wall else [])
    svg, to_x, to_y = _frame(title, _range(xs, False), (low, high), x, y, False)
    if wall:
        at = _f(to_x(wall[0]))
        SubElement(svg, "line", {"class": "level", "x1": at, "x2": at, "y1": _f(_TOP), "y2": _f(HEIGHT - _BOTTOM)})
        _text(svg, to_x(wall[0]) - 4, _TOP + 12, wall[1], "note", "end")
    if staircase:
        steps = [f"{_f(to_x(staircase[0][0]))},{_f(_TOP)}"]
        before = None
        for px, py in staircase:
            steps += [f"{_f(to_x(px))},{_f(to_y(before))}"] if before is not None else []
            steps.append(f"{_f(to_x(px))},{_f(to_y(py))}")
            before = py
        steps.append(f"{_f(WIDTH - _RIGHT)},{_f(to_y(staircase[-1][1]))}")
        SubElement(svg, "polyline", {"class": "stairs", "points": " ".join(steps)})
    for dot in dots:
        colour = f"c{dot.colour % COLOURS}"
        place = {
            "class": f"dot {colour}",
            "cx": _f(to_x(dot.x)),
            "cy": _f(to_y(dot.y)),
            "r": "2.5" if dot.small else "5",
        }
        SubElement(SubElement(svg, "circle", place), "title").text = printable(dot.title)
        if dot.mark:
            _text(svg, to_x(dot.x) + 8, to_y(dot.y) + 4, dot.mark, "mark", "start")
    return Chart(title, tostring(svg, encoding="unicode"), tuple(keys), note)


def _fit(points: Sequence[tuple[float, float]], log: bool) -> list[tuple[float, float]]:
    """What can be drawn: a logarithm has none of what is not above 0."""
    return [(px, py) for px, py in points if math.isfinite(px) and math.isfinite(py) and (py > 0 or not log)]


def _range(values: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return (low / 1.2, high * 1.2)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _inner() -> float:
    return HEIGHT - _TOP - _BOTTOM


def _f(value: float) -> str:
    return f"{value:g}" if value == int(value) else f"{value:.1f}"


def _frame(
    title: str, xs: tuple[float, float], ys: tuple[float, float], x: str, y: str, log: bool
) -> tuple[Element, _Axis, _Axis]:
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "role": "img", "class": "plot"})
    SubElement(svg, "title").text = printable(title)
    to_x = _Axis(*(xs if xs[0] < xs[1] else (xs[0] - 1, xs[1] + 1)), _LEFT, WIDTH - _RIGHT)
    to_y = _Axis(*ys, HEIGHT - _BOTTOM, _TOP, log)
    for value, label in to_y.labels():
        at = _f(to_y(value))
        SubElement(svg, "line", {"class": "grid", "x1": _f(_LEFT), "x2": _f(WIDTH - _RIGHT), "y1": at, "y2": at})
        _text(svg, _LEFT - 6, to_y(value) + 4, label, "tick", "end")
    for value, label in to_x.labels():
        at = _f(to_x(value))
        SubElement(svg, "line", {"class": "grid", "x1": at, "x2": at, "y1": _f(_TOP), "y2": _f(HEIGHT - _BOTTOM)})
        anchor = "end" if to_x(value) > WIDTH - _RIGHT - 14 else "middle"
        _text(svg, min(to_x(value), WIDTH - 2), HEIGHT - _BOTTOM + 15, label, "tick", anchor)
    _text(svg, WIDTH - _RIGHT, HEIGHT - 6, x, "axis", "end")
    side = _text(svg, 12, _TOP, y, "axis", "end")
    side.set("transform", f"rotate(-90 12 {_TOP:g})")
    return svg, to_x, to_y


def _text(parent: Element, x: float, y: float, text: str, kind: str, anchor: str) -> Element:
    made = SubElement(parent, "text", {"class": kind, "x": _f(x), "y": _f(y), "text-anchor": anchor})
    made.text = printable(text)
    return made
