"""The t-tests that published records argue with, to the digits they were given, and the distribution behind them."""

import math

import pytest

from pgolf.report.statistics import Sample, one_sample, t_below, t_quantile, welch

PR1019_BPB = (1.11508120, 1.11437394, 1.11475014)
PR549_BPB = (1.11922988, 1.12002032, 1.11888882)
PR1204_NATS = (1.86841284, 1.87037189, 1.86478866)
PR1019_NATS = (1.88276292, 1.88156874, 1.88220393)

WELCH = {
    "pr1019 against pr549": (Sample.of(PR1019_BPB), Sample.of(PR549_BPB), 0.0, -11.8339, 3.3063, 0.00081, 0.00040),
    "quoted beside pr1204": (
        *(Sample(3, 1.08759808, 0.00036912), Sample(3, 1.11473509, 0.00035387), 0.0),
        *(-91.9197, 3.9929, 8.6e-8, 4.3e-8),
    ),
    "pr1204 in nats": (Sample.of(PR1204_NATS), Sample.of(PR1019_NATS), 0.0, -8.5679, 2.1776, 0.01025, 0.00512),
    "pr1204 by the margin": (
        *(Sample.of(PR1204_NATS), Sample.of(PR1019_NATS), 0.005),
        *(-5.5765, 2.1776, 0.02528, 0.01264),
    ),
}


def digits(value: float, like: float) -> float:
    """``value`` rounded as ``like`` is written."""
    text = repr(like)
    return float(f"{value:.1e}") if "e" in text else round(value, len(text.partition(".")[2]))


@pytest.mark.parametrize("case", WELCH.values(), ids=WELCH)
def test_welch_gives_what_records_were_argued_with(case):
    first, second, margin, t, df, two_sided, one_sided = case
    found = welch(first, second, margin)
    assert found is not None
    assert digits(found.t, t) == t and digits(found.df, df) == df
    assert digits(found.two_sided, two_sided) == two_sided
    assert digits(found.one_sided, one_sided) == pytest.approx(one_sided, abs=1.01e-5 * (one_sided > 1e-6))


def test_a_margin_moves_the_threshold_and_not_the_difference():
    first, second = Sample.of(PR1204_NATS), Sample.of(PR1019_NATS)
    plain, strict = welch(first, second), welch(first, second, 0.005)
    assert plain.difference == strict.difference and plain.interval() == strict.interval()
    assert plain.one_sided < 0.01 < strict.one_sided


NATS_PER_BYTE = 0.005 / math.log(2)
ONE_SAMPLE = {
    "pr77": ((1.1935, 1.1927, 1.1921, 1.1929), 1.195, 0.0, -7.6210, 3, 0.002345),
    "pr1145, in nats a byte": (
        *((1.11058356, 1.11126660, 1.11068499, 1.11089935), 1.1194, NATS_PER_BYTE),
        *(-8.7892, 3, 0.001551),
    ),
    "pr1915": ((1.06438547, 1.06492009, 1.06583003), 1.0810, 0.0, -37.8368, 2, 0.000349),
}


@pytest.mark.parametrize("case", ONE_SAMPLE.values(), ids=ONE_SAMPLE)
def test_tests_against_one_number_give_what_records_published(case):
    values, reference, margin, t, df, one_sided = case
    found = one_sample(Sample.of(values), reference, margin)
    assert digits(found.t, t) == t and found.df == df and round(found.one_sided, 6) == one_sided


# Two-sided quantiles as every table of Student's distribution has them.
TABLE = {
    (0.975, 1): 12.7062,
    (0.975, 2): 4.30265,
    (0.99, 3): 4.54070,
    (0.995, 10): 3.16927,
    (0.95, 30): 1.69726,
    (0.975, 1e6): 1.95997,
    (0.9995, 4): 8.61030,
}


@pytest.mark.parametrize(("where", "t"), TABLE.items())
def test_the_distribution_is_the_tabulated_one(where, t):
    probability, df = where
    assert t_below(t, df) == pytest.approx(probability, abs=2e-6)
    assert t_quantile(probability, df) == pytest.approx(t, rel=1e-5)


@pytest.mark.parametrize("t", [-30.0, -2.5, -0.1, 0.0, 1e-8, 0.7, 4.0, 1e6])
def test_the_distribution_has_its_closed_forms_for_one_and_two_degrees(t):
    assert t_below(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-13)
    assert t_below(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-13)


def test_small_tails_keep_their_digits():
    assert t_below(-1e6, 2) == pytest.approx(1 / (2 * 1e12), rel=1e-9)
    assert t_below(-math.inf, 3) == 0 and t_below(math.inf, 3) == 1 and math.isnan(t_below(math.nan, 3))


def test_the_distribution_is_symmetric_and_rises():
    points = [-5 + k / 4 for k in range(41)]
    for df in (1.3, 2.1776, 7.5, 200.0):
        values = [t_below(t, df) for t in points]
        assert values == sorted(values)
        assert all(a + b == pytest.approx(1, abs=1e-12) for a, b in zip(values, reversed(values), strict=True))


def test_a_sample_has_the_deviation_of_n_less_one():
    sample = Sample.of([1.0, 2.0, 4.0])
    assert sample == Sample(3, pytest.approx(7 / 3), pytest.approx(math.sqrt(7 / 3)))
    assert Sample.of([1.0]).std is None
    assert sample.scaled(2) == Sample.of([2.0, 4.0, 8.0])


def test_nothing_is_tested_with_one_score_or_without_spread():
    sample, alone, same = Sample.of([1.0, 2.0, 4.0]), Sample.of([1.0]), Sample.of([1.0, 1.0])
    assert welch(sample, alone) is welch(alone, sample) is welch(same, same) is None
    assert one_sample(alone, 2.0) is one_sample(same, 2.0) is None
    with pytest.raises(ValueError):
        Sample.of([])


def test_an_interval_holds_the_difference_and_zero_where_the_test_says_so():
    found = welch(Sample.of([1.0, 1.2, 1.1]), Sample.of([1.1, 1.4, 1.2]))
    low, high = found.interval()
    assert low < found.difference < high and low < 0 < high and found.two_sided > 0.05
    edge = found.interval(1 - found.two_sided)
    assert edge[1] == pytest.approx(0, abs=1e-9)
