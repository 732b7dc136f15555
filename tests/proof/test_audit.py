"""The judge: where it looks, what it tells, and what it takes as an answer."""

import numpy as np
import pytest

from pgolf.eval.coder import Enough
from pgolf.eval.sealed import Refused
from pgolf.proof.audit import Judge, draw, draw_stretch
from pgolf.proof.range_coder import RangeReader

V = 8
TOKENS = np.arange(101) % V


def judge(drawn, nll_nats=None):
    nll_nats = np.full(100, np.log(V)) if nll_nats is None else nll_nats
    made = Judge(TOKENS, nll_nats, np.array(drawn), V)
    assert made.answer({"ready": True, "lane_starts": [0], "side_bits": 0.0}, b"").tolist() == [TOKENS[0]]
    return made


def ask(made, start, stop):
    return made.answer({"ask": [0, start, stop]}, b"").tolist()


def uniform():
    return np.full(V, 1 / V, dtype="<f4").tobytes()


def test_half_the_places_are_uniform_and_half_where_targets_are_cheap():
    nll_nats = np.full(10_000, 5.0)
    nll_nats[::100] = 0.5  # a hundred cheap ones
    drawn, uniform_n = draw(nll_nats, 600, seed=1)
    assert len(set(drawn.tolist())) == len(drawn) and np.all(np.diff(drawn) > 0)
    assert len(uniform_n) == 300 and np.isin(uniform_n, drawn).all()
    assert np.isin(np.arange(0, 10_000, 100), drawn).all()


def test_a_dear_target_that_is_made_to_look_common_is_as_likely_looked_at_as_others():
    """It costs the mean, so that whoever looks where targets are cheap would miss it."""
    nll_nats = np.random.default_rng(0).exponential(3.7, 20_000)
    lies = np.argsort(nll_nats)[-200:]
    nll_nats[lies] = nll_nats.mean()
    found = [np.isin(draw(nll_nats, 600, seed)[0], lies).sum() for seed in range(40)]
    assert np.mean(found) > 0.8 * 600 * len(lies) / len(nll_nats)


def test_progress_counts_the_stream_up_to_the_last_place_that_is_looked_at():
    made, told = judge([3, 7]), []
    made.progress = lambda *said: told.append(said)
    ask(made, 0, 100)
    made.answer({"row": 3}, uniform())
    ask(made, 4, 100)
    made.answer({"row": 7}, uniform())
    assert told == [("audit", done, 8) for done in (3, 4, 7, 8)]


def test_every_place_is_looked_at_where_there_are_few():
    drawn, uniform_n = draw(np.ones(50), 600, seed=1)
    assert drawn.tolist() == uniform_n.tolist() == list(range(50))


def test_other_seeds_look_elsewhere_and_scores_that_are_missing_break_nothing():
    nll_nats = np.random.default_rng(0).exponential(2.0, 5_000)
    nll_nats[7] = np.nan
    one, other = draw(nll_nats, 200, seed=1)[0], draw(nll_nats, 200, seed=2)[0]
    assert not np.array_equal(one, other) and np.array_equal(one, draw(nll_nats, 200, seed=1)[0])


def test_no_target_of_a_drawn_place_is_told_before_its_row_is_there():
    made = judge([3, 5])
    assert ask(made, 0, 8) == TOKENS[1:4].tolist()
    assert ask(made, 0, 8) == TOKENS[1:4].tolist()  # however often it is asked
    assert made.answer({"row": 3}, uniform()).tolist() == [TOKENS[4]]
    assert ask(made, 0, 8) == TOKENS[1:6].tolist()
    assert made.answer({"row": 5}, uniform()).tolist() == [TOKENS[6]]
    assert sorted(made.found) == [3, 5]
    with pytest.raises(Enough):  # nothing more is looked at
        ask(made, 0, 8)


@pytest.mark.parametrize("place", [2, 4, 5, 99, -1])
def test_only_the_row_that_is_due_is_taken(place):
    made = judge([3, 5])
    ask(made, 0, 8)
    with pytest.raises(Refused, match="was not asked for"):
        made.answer({"row": place}, uniform())


@pytest.mark.parametrize(("start", "stop"), [(4, 9), (-1, 3), (0, 101)])
def test_what_lies_ahead_or_outside_is_not_told(start, stop):
    with pytest.raises(Refused, match="out of turn"):
        ask(judge([3]), start, stop)


def test_a_row_of_another_length_and_a_message_of_another_kind_are_refused():
    made = judge([0])
    with pytest.raises(Refused, match="a row of 7 entries for a vocabulary of 8"):
        made.answer({"row": 0}, uniform()[:-4])
    with pytest.raises(Refused, match="no answer to an audit"):
        made.answer({"scores": 3}, b"")
    with pytest.raises(Refused, match="lane 4"):
        made.answer({"ask": [4, 0, 1]}, b"")


def test_the_judge_takes_the_entry_itself():
    nll_nats = np.full(100, 1.0)
    made = judge([2], nll_nats)
    row = np.linspace(0.1, 0.8, V, dtype="<f4")
    ask(made, 0, 5)
    made.answer({"row": 2}, row.tobytes())
    difference, total, least = made.found[2]
    assert difference == pytest.approx(1.0 + np.log(row[TOKENS[3]]))
    assert total == pytest.approx(row.sum()) and least == pytest.approx(0.1)


@pytest.mark.parametrize(("count", "tokens"), [(1_000, 100), (1_000, 900), (50, 100), (1, 1)])
def test_a_stretch_lies_in_the_second_half_as_far_as_it_fits_there(count, tokens):
    starts = set()
    for seed in range(200):
        stretch = draw_stretch(count, tokens, seed)
        assert len(stretch) == min(count, tokens) and stretch.start >= 0 and stretch.stop <= count
        assert stretch.start >= count // 2 or count - len(stretch) < count // 2
        starts.add(stretch.start)
    assert len(starts) > 1 or tokens >= count


def test_the_targets_of_a_stretch_are_written_by_its_rows():
    made = Judge(TOKENS, np.full(100, np.log(V)), np.array([3]), V, stretch=range(50, 60))
    made.answer({"ready": True, "lane_starts": [0], "side_bits": 0.0}, b"")
    rows = np.random.default_rng(0).dirichlet(np.ones(V), 100).astype("<f4")
    for place in [3, *range(50, 60)]:
        told = ask(made, 0, 100)
        assert len(told) == place
        made.answer({"row": place}, rows[place].tobytes())
    reader = RangeReader(made.writer.data())
    assert [reader.read(rows[place]) for place in range(50, 60)] == TOKENS[51:61].tolist()


def test_lanes_are_not_predicted_from_each_others_future():
    """Text that comes twice, a lane each: each predicted by what the other has at its place would cost nothing."""
    tokens = np.tile(np.random.default_rng(0).integers(0, V, 500), 2)
    tokens, half = np.append(tokens, tokens[:1]), 500
    drawn = np.random.default_rng(1).choice(2 * half, 100, replace=False)
    order = np.arange(2 * half).reshape(2, half).T.ravel()
    made = Judge(tokens, np.zeros(2 * half), drawn, V, place_I=order)
    made.answer({"ready": True, "lane_starts": [0, half], "side_bits": 16.0}, b"")
    with pytest.raises(Enough):
        while True:
            told = [made.answer({"ask": [lane, 0, half]}, b"") for lane in (0, 1)]
            lane = 0 if made._next_drawn() < half else 1
            row = np.zeros(V, dtype="<f4")
            seen = told[1 - lane][len(told[lane]) :]
            row[seen[0] if len(seen) else 0] = 1
            made.answer({"row": made._next_drawn()}, row.tobytes())
    wrong = np.array([place for place, (difference, _, _) in made.found.items() if difference])
    first = drawn[drawn < half]  # lane 0 comes first at each place
    assert (wrong < half).all() and len(wrong) > 0.7 * len(first)
