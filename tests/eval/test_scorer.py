import numpy as np
import pytest

from pgolf.core.prediction import Span
from pgolf.eval.coder import PlainRows
from pgolf.eval.scorer import Scorer, stretches
from pgolf.eval.slots import DoubleScore

TOKENS_N = np.array([5, 1, 2, 0, 3, 3, 4], dtype=np.uint16)  # targets: 1 2 0 3 3 4


def rows(count, total=1.0, vocab_size=6):
    row_IV = np.random.default_rng(0).random((count, vocab_size), dtype=np.float32) + 0.1
    return row_IV * (total / row_IV.sum(-1, keepdims=True))


def test_it_knows_every_target_and_wants_every_row():
    scorer = Scorer(TOKENS_N)
    assert scorer.first_tokens == [5]
    assert scorer.known(Span(0, 0, 2, 5)).tolist() == [0, 3, 3]
    assert scorer.wants(Span(0, 0, 2, 5))
    with pytest.raises(AssertionError):
        scorer.draw(0, rows(1)[0])


def test_a_lane_begins_with_the_last_target_of_the_lane_before():
    scorer = Scorer(TOKENS_N, (0, 2, 5))
    assert scorer.first_tokens == [5, 2, 3]
    assert scorer.known(Span(0, 0, 0, 2)).tolist() == [1, 2]
    assert scorer.known(Span(1, 0, 1, 3)).tolist() == [3, 3]
    assert scorer.known(Span(2, 0, 0, 1)).tolist() == [4]


def test_each_target_is_priced_once_at_its_place_with_the_sum_of_its_row():
    scorer, row_IV = Scorer(TOKENS_N), rows(4, total=1.5)
    place_I = np.array([4, 0, 1, 5])  # of lanes in lockstep
    token_I = TOKENS_N[place_I + 1].astype(np.int64)
    scorer.settle(place_I, PlainRows(row_IV), token_I)
    np.testing.assert_allclose(scorer.nll_nats.values_N[place_I], -np.log(row_IV[np.arange(4), token_I]), rtol=1e-6)
    np.testing.assert_allclose(scorer.sums.values_N[place_I], 1.5, rtol=1e-6)
    assert scorer.nll_nats.writes_N.tolist() == scorer.sums.writes_N.tolist() == [1, 1, 0, 0, 1, 1]
    with pytest.raises(DoubleScore, match="position 1 "):
        scorer.settle(np.array([1, 2]), PlainRows(rows(2)), np.array([0, 0]))


def test_what_is_not_a_number_is_no_price():
    scorer = Scorer(TOKENS_N)
    with pytest.raises(ValueError, match="position 0 is not a number"):
        scorer.settle(np.array([0]), PlainRows(np.full((1, 6), np.nan, dtype=np.float32)), np.array([1]))
    assert scorer.nll_nats.written == 0


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([3], [(0, 1)]),
        ([3, 4, 5], [(0, 3)]),
        ([0, 4, 1, 5], [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ([2, 3, 7, 8], [(0, 2), (2, 4)]),
    ],
)
def test_stretches_are_the_runs_of_consecutive_places(places, expected):
    assert stretches(np.array(places)) == expected
