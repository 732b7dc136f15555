"""Signals reduced over the stream: what numpy says of all of them, in whatever pieces they came.

Shapes: I positions, S traced numbers, E rows.
"""

from dataclasses import asdict

import numpy as np
import pytest

from pgolf.core.errors import UserError
from pgolf.eval.stage import Chain
from pgolf.eval.traces import BINS, Traces, parts_told, traces_told
from tests.mixer.properties import COUNT, OFFERS, chain_of, driven, mixer, positions

HEDGE = {"_target_": "pgolf.mixer.hedge.Hedge", "eta": 1.0, "epsilon": 0.01, "network_logit": 2.0}


@pytest.mark.parametrize("count", [1000, 40])
def test_they_are_what_numpy_says_of_all_values_in_whatever_pieces_these_come(count):
    random = np.random.default_rng(0)
    value_IS = random.normal(1000, [1, 5], (count, 2)).astype(np.float32)
    traces, cuts = Traces(["a", "b"], count), np.sort(random.integers(0, count, 9))
    for piece_IS in np.split(value_IS, cuts):
        traces.add(piece_IS)
    bin_I = np.arange(count) * BINS // count
    for found, value_I in zip(traces.found(), value_IS.T.astype(np.float64), strict=True):
        np.testing.assert_allclose([found.mean, found.deviation], [value_I.mean(), value_I.std()], rtol=1e-9)
        assert (found.count, found.least, found.largest) == (count, value_I.min(), value_I.max())
        expected = [value_I[bin_I == b].mean() if (bin_I == b).any() else None for b in range(BINS)]
        assert [value is None for value in found.curve] == [value is None for value in expected]
        np.testing.assert_allclose([v for v in found.curve if v], [v for v in expected if v], rtol=1e-9)
    assert not Traces(["a"], 5).found()


def traced(given, experts=1):
    chain = chain_of(mixer(HEDGE, experts), given)
    return Chain(chain._stages, OFFERS, COUNT)


def test_a_mixers_weights_are_traced_the_same_by_rows_one_by_one_and_by_prices_and_apart_in_a_fork():
    given = positions()
    whole, parted, priced = (traced(given) for _ in range(3))
    driven(whole, given)
    network, expert = whole.traces
    assert [network.name, expert.name] == ["hedge.weight_network", "hedge.weight_1"]
    first = np.exp(2) / (np.exp(2) + 1)
    assert network.count == COUNT and network.curve[0] == pytest.approx(first, abs=0.1)
    assert network.mean + expert.mean == pytest.approx(1, abs=1e-6) and network.deviation > 0
    for start in range(0, COUNT, 40):
        driven(parted, given, start, start + 40)
    lane_I, own_I = np.zeros(COUNT, dtype=np.int64), given.rows_IEV[np.arange(COUNT), 0, given.token_I]
    priced.score(own_I, {}, lane_I, given.token_I)
    for chain in (parted, priced):
        for found, expected in zip(chain.traces, whole.traces, strict=True):
            np.testing.assert_allclose(found.curve, expected.curve, rtol=1e-6)
    before = whole.traces
    twin = whole.fork()
    for state in twin._states[:-1]:
        state.place_1[0] = 0
    driven(twin, given)
    assert whole.traces == before and twin.traces[0].count == 2 * COUNT


def test_a_chain_that_is_told_no_length_and_one_without_positions_trace_nothing():
    given = positions()
    chain = chain_of(mixer(HEDGE), given)
    driven(chain, given)
    assert not chain.traces and not traced(given).traces


def test_what_a_process_tells_is_taken_as_it_is_and_refused_where_it_is_no_trace():
    given = positions()
    chain = traced(given)
    driven(chain, given)
    told = [asdict(trace) for trace in chain.traces]
    assert traces_told({"traces": told}) == chain.traces and traces_told({}) == ()
    for wrong in ({**told[0], "curve": [1.0]}, {**told[0], "mean": float("inf")}, {"name": "a"}, 5):
        with pytest.raises(UserError, match="the sealed process told traces that are none"):
            traces_told({"traces": [wrong]})


@pytest.mark.parametrize("lie", [{"name": "a\x1b[2Acertificate passed"}, {"name": "a" * 81}, {"count": float("inf")}])
def test_what_a_process_tells_cannot_draw_over_the_verdict_or_end_the_judge(lie):
    given = positions()
    chain = traced(given)
    driven(chain, given)
    with pytest.raises(UserError, match="the sealed process told traces that are none"):
        traces_told({"traces": [asdict(chain.traces[0]) | lie]})


def test_of_rows_that_are_no_numbers_nothing_is_traced_that_the_judge_would_refuse():
    """An adaptation that has diverged: the certificate says so, and not that its process lies."""
    traces, value_IS = Traces(["off", "hit"], COUNT), np.ones((COUNT, 2), dtype=np.float32)
    value_IS[COUNT // 2 :, 0] = np.nan
    traces.add(value_IS)
    (found,) = traces_told({"traces": [asdict(trace) for trace in traces.found()]})
    assert (found.name, found.count, found.mean) == ("hit", COUNT, 1.0)


def test_no_more_traces_are_taken_than_a_score_could_have():
    given = positions()
    chain = traced(given)
    driven(chain, given)
    with pytest.raises(UserError, match="1,001 of them, of 1,000 at most"):
        traces_told({"traces": [asdict(chain.traces[0])] * 1001})


def test_seconds_that_a_process_tells_are_taken_as_they_are_and_refused_where_they_are_none():
    assert parts_told({"parts": {"load": 1, "tree": 0.5}}) == {"load": 1.0, "tree": 0.5} and parts_told({}) == {}
    for wrong in (
        {"load": -1},
        {"load": float("nan")},
        {"load": 1e999},
        {"a\x1b[2A": 1},
        {"a" * 81: 1},
        {" ": 1},
        {f"part {number}": 1 for number in range(65)},
        {"a": None},
        [1],
    ):
        with pytest.raises(UserError, match="the sealed process told seconds that are none"):
            parts_told({"parts": wrong})
