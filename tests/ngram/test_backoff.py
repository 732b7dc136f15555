"""Counts in a trie beside plain dicts that keep every context from the first token on.

Shapes: N tokens, V vocabulary.
"""

import itertools
from collections import Counter, defaultdict

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
from pgolf.ngram import backoff as trie
from pgolf.run.rules import check
from tests.eval.fakes import Bigram, Lanes, Stopping
from tests.eval.kernels import average

DISCOUNT = 0.75


class Dicts:
    """The reference: for each context the counts of what followed it, and absolute discounting as it is written."""

    def __init__(self, min_order, max_order, discount=DISCOUNT):
        self.orders, self.discount = range(min_order, max_order + 1), discount
        self.counts = defaultdict(Counter)
        self.past = defaultdict(list)

    def contexts(self, lane, orders):
        """(order, counts) of those of the lane's contexts that are long enough."""
        past = self.past[lane]
        return [(k, tuple(past[len(past) - k + 1 :])) for k in orders if len(past) >= k - 1]

    def row(self, lane, own_V):
        """The row, and order, total and distinct of the longest context that was seen."""
        row_V, known = own_V.astype(np.float64), (1, 0, 0)
        for order, context in self.contexts(lane, self.orders):
            counts = self.counts.get(context)
            if counts:
                total, distinct = sum(counts.values()), len(counts)
                row_V = self.discount * distinct / total * row_V
                for token, count in counts.items():
                    row_V[token] += max(count - self.discount, 0) / total
                known = (order, total, distinct)
        return row_V, known

    def learn(self, lane, token):
        for _, context in self.contexts(lane, range(2, self.orders[-1] + 1)):
            self.counts[context][token] += 1
        self.past[lane].append(token)


def backoff(min_order=2, max_order=7, discount=DISCOUNT, max_memory_mb=100):
    node = {"min_order": min_order, "max_order": max_order, "discount": discount, "max_memory_mb": max_memory_mb}
    return make({"_target_": "pgolf.ngram.backoff.Backoff", **node})


def stage_of(vocab_size, tokens, lanes=1, **changes):
    (stage,) = backoff(**changes).stages(Facts(vocab_size, 1, tokens + 1, lanes=lanes))
    return stage


def text(count, vocab_size, seed=0):
    """Tokens that come back: pieces of what was before, rare tokens, and a stretch in which all follow one."""
    random = np.random.default_rng(seed)
    tokens = [0]
    while len(tokens) < count:
        kind = random.random()
        if kind < 0.5:
            start = random.integers(0, len(tokens))
            tokens += tokens[start : start + int(random.integers(1, 20))]
        elif kind < 0.8:
            tokens += random.integers(0, min(vocab_size, 4), int(random.integers(1, 6))).tolist()
        else:
            tokens += [0, int(random.integers(0, vocab_size))]
    return np.array(tokens[:count], dtype=np.int64)


def positions(count, vocab_size, lanes=1, seed=0):
    """(network's rows, no signals, lanes, tokens)."""
    random = np.random.default_rng(seed)
    own_IV = random.random((count, vocab_size), dtype=np.float32) ** 4 + np.float32(1e-6)
    own_IV /= own_IV.sum(-1, keepdims=True)
    return own_IV, {}, random.integers(0, lanes, count), text(count, vocab_size, seed)


def driven(chain, given_positions, step=None):
    """All rows, with room reserved for ``step`` positions at a time."""
    own_IV, _, lane_I, token_I = given_positions
    rows = []
    for start in range(0, len(token_I), step or len(token_I)):
        part = slice(start, start + (step or len(token_I)))
        chain.reserve(len(token_I[part]))
        chain.take(own_IV[part], {}, lane_I[part], token_I[part].copy())
        chain.drive(0, len(token_I[part]))
        chain.finish()
        rows.append(chain.row_IV.copy())
    return np.concatenate(rows)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def content(state):
    """The state without the room that nothing uses yet."""
    nodes, entries, _, learnt = state.size_4.tolist()
    return [state.node_N4[:nodes], state.entry_E4[:entries], state.past_T2[:learnt], *state[4:]]


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
    dicts = Dicts(min_order, max_order)
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
    found_IV, dicts = driven(chain, (own_IV, {}, lane_I, token_I), step=7), Dicts(2, max_order)
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


def plain(predict, learn, state):
    return (lambda *rest: home._drive_plain(predict, learn, *rest)), learn


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


# --- memory -----------------------------------------------------------------------------------------------------


def twice(tokens):
    return np.concatenate([tokens, tokens])


WORST = {
    "one token": lambda random: np.zeros(400, dtype=np.int64),
    "twice the same": lambda random: twice(random.integers(0, 300, 200)),
    "twice the same, but for every seventh": lambda random: np.where(
        np.arange(400) % 7 + np.arange(400) // 203 * 10 == 16, random.integers(0, 300, 400), twice(np.arange(200) % 203)
    ),
    "every pair": lambda random: np.array([v for pair in itertools.product(range(14), repeat=2) for v in pair]),
    "all follow one": lambda random: np.stack([np.zeros(200, dtype=np.int64), random.permutation(200)], 1).flatten(),
    "noise": lambda random: random.integers(0, 3, 400),
}


@pytest.mark.parametrize("max_order", [2, 3, 7, 16])
@pytest.mark.parametrize("text", list(WORST))
def test_no_text_takes_more_than_the_room_that_was_said(text, max_order):
    token_I = WORST[text](np.random.default_rng(0))
    count, contexts = len(token_I), max_order - 1
    for step in (1, 50, count):
        chain = Chain([stage_of(300, count, max_order=max_order)], ())
        own_IV = np.full((count, 300), 1 / 300, dtype=np.float32)
        driven(chain, (own_IV, {}, np.zeros(count, dtype=np.int64), token_I), step)
        state = chain._states[0]
        nodes, entries, slots, past = trie.rooms(count, contexts, 300)
        used = state.size_4.tolist()
        assert used[0] <= nodes and used[1] <= entries and used[2] < slots and used[3] == past
        held = [state.node_N4, state.entry_E4, state.slot_H2, state.past_T2]
        assert [len(array) for array in held] <= [nodes, entries, slots, past]
        assert 2 * sum(array.nbytes for array in held) <= trie.most_bytes(count, contexts, 300)


def test_an_n_gram_becomes_a_node_when_it_comes_again():
    chain = Chain([stage_of(50, 50)], ())
    own_IV = np.full((50, 50), 1 / 50, dtype=np.float32)
    driven(chain, (own_IV, {}, np.zeros(50, dtype=np.int64), np.arange(50)))
    assert chain._states[0].size_4.tolist() == [50, 49, 0, 50]  # the full trie has 5 · 50 more


def test_a_larger_table_holds_what_the_smaller_held():
    chain = Chain([stage_of(300, 5000)], ())
    driven(chain, positions(4000, 300))
    state = chain._states[0]
    held = {tuple(slot) for slot in state.slot_H2[state.slot_H2[:, trie.ENTRY] > 0].tolist()}
    assert len(held) == state.size_4[trie.HASHED] > 300
    for size in (len(held) + 1, 2 * len(held), 100_003):
        grown_H2 = trie._rehashed(state.slot_H2, state.entry_E4, size)
        assert (
            len(grown_H2) == size and {tuple(slot) for slot in grown_H2[grown_H2[:, trie.ENTRY] > 0].tolist()} == held
        )
        for node, entry in held:
            token = state.entry_E4[entry - 1, trie.TOKEN]
            assert trie._find(state.node_N4, state.entry_E4, grown_H2, node, token) == entry - 1


def test_a_stream_whose_counts_might_not_fit_is_refused_before_it_begins():
    fits = trie.most_bytes(1_000_000, 6, 4096)
    assert 404e6 < fits < 405e6  # at order 7 404 bytes a token
    facts = Facts(4096, 1, 1_000_001)
    assert backoff(max_memory_mb=405).stages(facts)
    with pytest.raises(ConfigError) as refused:
        backoff(max_memory_mb=404).stages(facts)
    assert str(refused.value) == (
        "ngram.max_memory_mb: 404; counts up to order 7 of 1,000,000 tokens can take 405 MB, and an evaluation is not "
        "begun that may not end; allow as much, or lower ngram.max_order"
    )


def test_a_stream_beyond_what_the_trie_can_number_is_refused():
    with pytest.raises(ConfigError, match=r"ngram\.max_order: 16 is too much for 200,000,000 tokens"):
        backoff(max_order=16, max_memory_mb=1_000_000).stages(Facts(4096, 1, 200_000_001))


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
