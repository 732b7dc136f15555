"""Medians, their intervals, what counts as moved, and what may be compared at all."""

import json
import math
from dataclasses import replace
from itertools import product

import pytest

from pgolf.bench.figures import (
    BenchResult,
    Figure,
    Interval,
    Reading,
    Sheet,
    change,
    from_plain,
    gathered,
    interval,
    paired,
    quotient,
    refuse_others,
    refuse_sizes,
    to_plain,
)
from pgolf.core.errors import ConfigError, DataError


def figure(values, floors=(), *, better="more", of="", exact=False, name="a"):
    return Figure(name, "tokens/s", better, of, "", exact, tuple(map(float, values)), tuple(map(float, floors)))


SHEET = Sheet(
    {"processor": "one", "cores": 2},
    {"torch": "2"},
    (1, 2),
    5,
    {
        "train": BenchResult({"tokens": 8}, (figure([1, 2, 3], [4, 4, 5], of="copying"),)),
        "x": BenchResult({}, (), "absent"),
    },
)


def test_an_intervals_coverage_is_that_of_coins():
    """Of all ways in which n values fall on the sides of the median, the share in which it lies in the interval."""
    for n in range(1, 12):
        found = interval(range(n))
        k = int(found.low)
        assert found.high == n - 1 - k
        inside = sum(k < sum(sides) < n - k for sides in product((0, 1), repeat=n)) / 2**n
        assert found.coverage == pytest.approx(inside)
        assert found.coverage >= 0.93 or k == 0
    assert interval(range(5)).coverage == 0.9375 and interval([3.0]) == Interval(3, 3, 3, 0.0)


def test_an_interval_depends_on_no_order_and_grows_with_what_is_asked():
    assert interval([3, 1, 2, 5, 4]) == interval([1, 2, 3, 4, 5])
    wide, narrow = interval(range(20), 0.99), interval(range(20), 0.5)
    assert wide.low < narrow.low <= narrow.high < wide.high


def test_rounds_become_figures_whose_where_is_the_middle_rounds():
    rounds = [
        [
            Reading("a", value, "ms", floor=2 * value, of="copying", where=f"{value}"),
            Reading("b", 1, "bytes", exact=True),
        ]
        for value in (5.0, 1.0, 3.0)
    ]
    a, b = gathered(rounds)
    assert a.values == (5, 1, 3) and a.floors == (10, 2, 6) and a.where == "3.0"
    assert (a.value, a.share) == (3, 0.5)
    assert b.values == (1, 1, 1) and b.floors == () and b.share is None and b.spread == 0


def test_a_machine_that_is_slower_altogether_has_not_moved():
    old = figure([10, 11, 12, 11, 10], [20, 22, 24, 22, 20], of="fp32 products")
    new = figure([5, 5.5, 6, 5.5, 5], [10, 11, 12, 11, 10], of="fp32 products")
    found = change("train", old, new)
    assert found.basis == "share of fp32 products" and found.verdict == "the same"
    assert change("train", replace(old, of="scoring"), replace(new, of="scoring")).basis == "absolute"


@pytest.mark.parametrize(
    ("old", "new", "better", "verdict"),
    [
        ([1, 2, 3, 4, 5], [4, 5, 6, 7, 8], "more", "within noise"),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], "more", "better"),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], "less", "worse"),
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], "less", "better"),
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], "more", "worse"),
    ],
)
def test_moved_is_what_no_part_of_the_intervals_denies(old, new, better, verdict):
    assert change("x", figure(old, better=better), figure(new, better=better)).verdict == verdict


def test_few_rounds_show_nothing_whatever_they_are():
    assert change("x", figure([1, 1, 1]), figure([9, 9, 9])).verdict == "too few rounds"
    assert change("x", figure([1], exact=True), figure([9], exact=True)).verdict == "better"


def test_pairs_divide_out_what_both_rounds_share():
    moods = [1, 3, 0.5, 2, 7]
    old, new = figure(moods), figure([1.1 * mood for mood in moods])
    found = paired("x", old, new)
    assert found.ratio.middle == pytest.approx(1.1) and found.ratio.low == pytest.approx(1.1)
    assert found.verdict == "better" and change("x", old, new).verdict == "within noise"


def test_bytes_are_compared_as_they_are():
    old, new = figure([100] * 5, [90] * 5, better="less", exact=True), figure([101] * 5, better="less", exact=True)
    found = change("x", old, new)
    assert (found.basis, found.verdict, found.ratio.middle) == ("exact", "worse", 1.01)
    assert change("x", old, old).verdict == "the same"


def test_nothing_by_nothing_is_one():
    assert quotient(0, 0) == 1 and quotient(1, 0) == math.inf and quotient(6, 3) == 2


def test_a_sheet_comes_back_from_json_as_it_was():
    assert from_plain(json.loads(json.dumps(to_plain(SHEET))), "x") == SHEET


def changed(path, value):
    plain = json.loads(json.dumps(to_plain(SHEET)))
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return plain


FIGURE = ("benches", "train", "figures", 0)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "not what pgolf bench --json writes"),
        ({}, "not what pgolf bench --json writes"),
        (changed(("pgolf_bench",), 2), "written in format 2; this version reads 1"),
        (changed(("benches",), []), "not what pgolf bench --json writes"),
        (changed(("threads",), ["x"]), "not what"),
        (changed((*FIGURE, "values"), []), "a value for each round"),
        (changed((*FIGURE, "values"), [math.inf] * 3), "finite"),
        (changed((*FIGURE, "floors"), [1.0]), "as many floors or none"),
        (changed((*FIGURE, "better"), "most"), "neither 'more' nor 'less'"),
        (changed((*FIGURE, "more"), 1), "a figure has"),
    ],
)
def test_another_file_is_refused(plain, message):
    with pytest.raises(DataError, match=f"^old: .*{message}"):
        from_plain(plain, "old")


def test_other_machines_threads_and_sizes_are_refused_by_name():
    refuse_others(SHEET, SHEET, "old")
    other = replace(SHEET, machine={"processor": "two", "cores": 2}, threads=(1,))
    with pytest.raises(ConfigError) as refused:
        refuse_others(other, SHEET, "old")
    assert refused.value.problems[:2] == (
        "old: processor: 'two' there, 'one' here",
        "old: threads: 1 there, 1, 2 here",
    )
    refuse_others(replace(SHEET, about={"torch": "1"}), SHEET, "old")
    refuse_sizes("old", "train", {"tokens": 8}, {"tokens": 8})
    with pytest.raises(
        ConfigError, match="old: train: tokens: 8 there, 9 here\nold: train: window: None there, 2 here"
    ):
        refuse_sizes("old", "train", {"tokens": 8}, {"tokens": 9, "window": 2})
