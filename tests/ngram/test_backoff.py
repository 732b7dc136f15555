"""Counts in a trie beside plain dicts that keep every context from the first token on.

Shapes: N tokens, V vocabulary.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.config.compose import compose
from pgolf.config.compose import settings as settings_of
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval import stage as home
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from pgolf.eval.stage import Chain
from pgolf.run.rules import check
from tests.eval.fakes import Bigram, Lanes, Stopping
from tests.eval.kernels import average
from tests.ngram.family import Dicts, content, driven, plain, positions, same, text

DISCOUNT = 0.75


def dicts_of(min_order, max_order):
    """The reference with absolute discounting as it is written."""

    def step(order, count_V, before_V, below_V):
        taken_V = np.minimum(count_V, DISCOUNT)
        return (count_V - taken_V + taken_V.sum() * below_V) / count_V.sum()

    return Dicts(min_order, max_order, step)


def backoff(min_order=2, max_order=7, discount=DISCOUNT, max_memory_mb=100):
    node = {"min_order": min_order, "max_order": max_order, "discount": discount, "max_memory_mb": max_memory_mb}
    return make({"_target_": "pgolf.ngram.backoff.Backoff", **node})


def stage_of(vocab_size, tokens, lanes=1, **changes):
    (stage,) = backoff(**changes).stages(Facts(vocab_size, 1, tokens + 1, lanes=lanes))
    return stage


# --- rows -------------------------------------------------------------------------------------------------------

CASES = {
    "orders 2 to 7": (5, 600, 1, 2, 7),
    "three lanes": (5, 600, 3, 2, 7),
    "many successors": (90, 1500, 2, 2, 4),
    "many more": (300, 2500, 1, 2, 3),
    "without the shortest": (40, 800, 2, 4, 6),
    "one order": (7, 300, 1, 2, 2),
    "one long order": (3, 300, 2, 5, 5),
    "the longest": (3, 600, 4, 2, 16),
    "more lanes than there is text for": (4, 300, 60, 2, 7),
}


@pytest.mark.parametrize("case", list(CASES))
def test_rows_and_signals_are_those_of_counts_in_dicts_at_every_position(case):
    vocab_size, count, lanes, min_order, max_order = CASES[case]
    own_IV, _, lane_I, token_I = positions(count, vocab_size, lanes)
    chain = Chain([stage_of(vocab_size, count, lanes, min_order=min_order, max_order=max_order)], ())
    found_IV = driven(chain, (own_IV, {}, lane_I, token_I))
    said_I3 = chain._now.out_SIS[0]
    dicts = dicts_of(min_order, max_order)
    for i in range(count):
        row_V, known = dicts.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(found_IV[i], row_V, atol=1e-6, rtol=1e-5)
        assert tuple(said_I3[i]) == known
        dicts.learn(lane_I[i], int(token_I[i]))
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    assert len(np.unique(said_I3[:, 0])) > 1


@settings(deadline=None, max_examples=50)
@given(
    tokens=st.lists(st.integers(0, 2), min_size=1, max_size=60),
    lanes=st.lists(st.integers(0, 2), min_size=60, max_size=60),
    max_order=st.integers(2, 7),
)
def test_rows_are_those_of_dicts_for_any_tokens_in_any_turns_of_lanes(tokens, lanes, max_order):
    token_I, lane_I = np.array(tokens), np.array(lanes[: len(tokens)])
    own_IV = np.full((len(tokens), 3), 1 / 3, dtype=np.float32)
    chain = Chain([stage_of(3, len(tokens), 3, max_order=max_order)], ())
    found_IV, dicts = driven(chain, (own_IV, {}, lane_I, token_I), step=7), dicts_of(2, max_order)
    for i in range(len(tokens)):
        np.testing.assert_allclose(found_IV[i], dicts.row(lane_I[i], own_IV[i])[0], atol=1e-6)
        dicts.learn(lane_I[i], tokens[i])


def test_before_anything_is_counted_the_row_is_the_networks():
    own_IV, _, lane_I, token_I = positions(2, 11)
    found_IV = driven(Chain([stage_of(11, 2)], ()), (own_IV, {}, lane_I, token_I))
    assert np.array_equal(found_IV, own_IV)  # of the second, too: one token is known, and it never had a successor


def test_every_entry_is_positive_however_small_the_share_that_is_left():
    """Six orders that each leave a thousandth to the next, and a network that gives next to nothing."""
    count = 3000
    own_IV = np.full((count, 3), [1 - 2e-30, 1e-30, 1e-30], dtype=np.float32)
    found_IV = driven(
        Chain([stage_of(3, count)], ()), (own_IV, {}, np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64))
    )
    assert found_IV.min() > 0
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_row_does_not_depend_on_what_comes_later(lanes):
    own_IV, _, lane_I, token_I = positions(400, 6, lanes)
    whole_IV = driven(Chain([stage_of(6, 400, lanes)], ()), (own_IV, {}, lane_I, token_I))
    for place in (0, 1, 57, 200, 399):
        other_I = token_I.copy()
        other_I[place:] = (other_I[place:] * 5 + 1) % 6
        other_IV = driven(Chain([stage_of(6, 400, lanes)], ()), (own_IV, {}, lane_I, other_I))
        assert np.array_equal(other_IV[: place + 1], whole_IV[: place + 1])
    assert not np.array_equal(other_IV, whole_IV) or place == 399


# --- the same numbers by every road -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["three lanes", "many successors", "without the shortest", "the longest"])
def test_compiled_kernels_give_the_bits_of_plain_python(case, monkeypatch):
    vocab_size, count, lanes, min_order, max_order = CASES[case]
    orders = {"min_order": min_order, "max_order": max_order}
    given_positions = positions(count, vocab_size, lanes)
    compiled = Chain([stage_of(vocab_size, count, lanes, **orders)], ())
    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = Chain([stage_of(vocab_size, count, lanes, **orders)], ())
    assert np.array_equal(driven(compiled, given_positions), driven(interpreted, given_positions))
    assert same(compiled._states[0], interpreted._states[0])


@pytest.mark.parametrize("case", list(CASES))
def test_a_token_alone_is_priced_to_the_bit_as_its_row_would_and_learnt_alike(case):
    vocab_size, count, lanes, min_order, max_order = CASES[case]
    own_IV, _, lane_I, token_I = positions(count, vocab_size, lanes)
    orders = {"min_order": min_order, "max_order": max_order}
    rows, alone = (Chain([stage_of(vocab_size, count, lanes, **orders)], ()) for _ in range(2))
    row_IV, each = driven(rows, (own_IV, {}, lane_I, token_I)), np.arange(count)
    alone.reserve(count)
    assert np.array_equal(alone.score(own_IV[each, token_I], {}, lane_I, token_I), row_IV[each, token_I])
    assert same(rows._states[0], alone._states[0])


@pytest.mark.parametrize("stops", [(), (0, 7, 8, 30), range(59)], ids=["scored", "some", "all"])
@pytest.mark.parametrize("lane_starts", [(0,), (0, 20, 40)])
def test_the_loop_gives_the_same_rows_one_at_a_time_and_in_blocks(lane_starts, stops):
    tokens_N = text(60, 11).astype(np.uint16)
    facts = Facts(11, 1, 60, lanes=len(lane_starts))
    plan = Lanes(59, lane_starts, window=8, stride=4)

    def evaluator():
        return Evaluator(FixedNetwork(Bigram(11)), plan, facts, [*backoff().stages(facts), average()])

    scorer = Scorer(tokens_N, lane_starts)
    evaluator().run(scorer, scorer.first_tokens)
    coder = Stopping(tokens_N, stops, lane_starts)
    evaluator().run(coder, coder.first_tokens)
    priced = ~np.isnan(coder.nll_nats_N)
    assert set(coder.row) == set(stops)
    assert np.array_equal(coder.nll_nats_N[priced], scorer.nll_nats.values_N[priced])
    np.testing.assert_allclose(scorer.sums.values_N, 1.0, atol=1e-6)


@pytest.mark.parametrize("step", [1, 3, 64, 1000])
def test_room_made_in_steps_changes_no_row_and_no_count(step):
    given_positions = positions(2000, 120, lanes=2)
    at_once, in_steps = (Chain([stage_of(120, 2000, 2)], ()) for _ in range(2))
    assert np.array_equal(driven(at_once, given_positions), driven(in_steps, given_positions, step))
    assert same(content(at_once._states[0]), content(in_steps._states[0]))


def test_a_fork_counts_apart():
    chain = Chain([stage_of(9, 600)], ())
    driven(chain, positions(200, 9), step=50)
    fork, before = chain.fork(), [array.copy() for array in chain._states[0]]
    rows_IV = driven(fork, positions(200, 9, seed=1))
    assert same(chain._states[0], before)
    assert np.array_equal(driven(chain, positions(200, 9, seed=1)), rows_IV)


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("ngram.max_order=17", "ngram.max_order: 17 is out of range: from 2 to 16"),
        ("ngram.min_order=1", "ngram.min_order: 1 is out of range: from 2 to 16"),
        ("ngram.discount=0", "ngram.discount: 0 is out of range: more than 0 and at most 1"),
        ("ngram.discount=1.5", "ngram.discount: 1.5 is out of range"),
        ("ngram.max_memory_mb=0", "ngram.max_memory_mb: 0 is out of range: at least 1"),
        ("ngram.max_order=3.5", "ngram.max_order: 3.5 is not a whole number"),
        ("ngram.min_order=8", "ngram.min_order: 8 is above ngram.max_order = 7"),
        ("mixer=none", "mixer: the network and an n-gram expert need a mixer; mixer=none combines nothing"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(word, message):
    with pytest.raises(ConfigError) as refused:
        check(settings_of(compose(["size=tiny", "ngram=backoff", "mixer=bucketed", word])))
    assert len(refused.value.problems) == 1 and message in refused.value.problems[0]
