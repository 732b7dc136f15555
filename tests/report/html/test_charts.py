"""Pictures: whatever the numbers, there is a scale for them, and names are text."""

import math
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.report.html.charts import Curve, Dot, cloud, curves, numbers, ticks

VALUES = st.floats(-1e299, 1e299, allow_nan=False)


@given(low=VALUES, high=VALUES)
@settings(max_examples=150, deadline=None)
def test_ticks_are_few_and_lie_inside(low, high):
    low, high = sorted((low, high))
    found = ticks(low, high)
    assert len(found) <= 8 and all(math.isfinite(tick) for tick in found)
    room = 1e-6 * max(abs(low), abs(high)) + 1e-299
    assert all(low - room <= tick <= high + room for tick in found)


def test_ticks_are_round_and_their_labels_short():
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert numbers([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert numbers([0.0, 20_000.0]) == ["0", "20k"]
    assert numbers([0.0, 5e6, 1e7]) == ["0", "5M", "10M"]
    assert numbers([999_800.0, 999_900.0]) == ["999.8k", "999.9k"]


@given(points=st.lists(st.tuples(VALUES, VALUES), max_size=8), log=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_curve_is_a_picture_of_finite_numbers_or_none(points, log):
    chart = curves("x", [Curve("one", points)], x="steps", y="value", log=log)
    if chart is None:
        assert not [y for _, y in points if y > 0 or not log]
        return
    svg = fromstring(chart.svg)
    (line,) = svg.iter("polyline")
    assert all(math.isfinite(float(number)) for pair in line.get("points").split() for number in pair.split(","))


def test_names_in_pictures_are_text():
    hostile = '</svg><script>"\x00\x1b'
    made = (
        curves(hostile, [Curve(hostile, [(0, 1), (1, 2)], dots=True)], x=hostile, y=hostile, levels=[(1.5, hostile)]),
        cloud(hostile, [Dot(1, 2, hostile, mark=hostile)], x=hostile, y=hostile, wall=(2.0, hostile)),
    )
    for chart in made:
        assert chart is not None
        tree = fromstring(chart.svg)
        assert not list(tree.iter("script")) and "</svg><script>" in "".join(tree.itertext())
        assert chart.svg.isprintable()


def test_better_is_lower_and_to_the_right_is_more():
    (line,) = fromstring(curves("x", [Curve("one", [(0, 1), (10, 5)])], x="", y="").svg).iter("polyline")
    (x0, y0), (x1, y1) = ([float(part) for part in pair.split(",")] for pair in line.get("points").split())
    assert x0 < x1 and y0 > y1
