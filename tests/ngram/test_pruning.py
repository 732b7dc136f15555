"""Pruning: within its bound, by its rule, with rows that sum to one; and nothing where all fits."""

import tracemalloc
from collections import Counter, defaultdict

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.sliding import Sliding
from pgolf.eval.stage import Chain
from pgolf.ngram import pruning, trie
from pgolf.ngram.backoff import Backoff
from tests.eval.stages import mean
from tests.eval.test_decoder import reads_what_was_written
from tests.ngram.family import driven, positions, same
from tests.proof.making import network_evaluation, stream_of

OPTIONS = {
    "backoff.Backoff": {"max_order": 5, "discount": 0.5},
    "witten_bell.WittenBell": {"max_order": 5},
    "dirichlet.Dirichlet": {"betas": [5.0, 4.0, 3.0, 2.0]},
    "interpolated.Interpolated": {"max_order": 5, "prior_share": 0.5, "prior_weight": 2.0},
    "kneser_ney.KneserNey": {"max_order": 5, "discount": 0.7},
    "strict.StrictBackoff": {"max_order": 5, "min_total": 1, "alpha": 0.3},
}
VOCAB, ROUND, COUNT = 40, 60, 3000


def chain_of(target="backoff.Backoff", capacity=200, lanes=1, targets=COUNT):
    """With room for so many of the worst tokens, 0: without a bound."""
    node = {"_target_": f"pgolf.ngram.{target}", "min_order": 2, "max_memory_mb": 100, **OPTIONS[target]}
    (stage,) = make(node).stages(Facts(VOCAB, 1, targets + 1, lanes=lanes))
    stage.state.bound_4[trie.CAPACITY] = capacity
    return Chain([stage], ())


class Slow:
    """Dicts of n-grams that are pruned by the rule; ``live``: how long the contexts are that a lane is in."""

    def __init__(self, contexts, lanes):
        self.counts, self.contexts = Counter(), contexts
        self.past, self.live = [[] for _ in range(lanes)], [0] * lanes

    def learn(self, lane, token):
        past, live = self.past[lane], self.live[lane]
        for length in range(1, live + 1):
            self.counts[(*past[len(past) - length :], token)] += 1
        past.append(token)
        self.live[lane] = min(live + 1, self.contexts)

    def prune(self, most, shortest):
        def stays(ngram):
            count, length = self.counts[ngram], len(ngram) - 1
            seen = length == 1 or self.counts[ngram[:-1]] > 1
            return seen and (count > most or (length < shortest and 2 * count > most))

        kept = {ngram: self.counts[ngram] for ngram in self.counts if stays(ngram)}
        self.counts = Counter(kept)
        for lane, past in enumerate(self.past):
            while self.live[lane] > 1 and self.counts[tuple(past[len(past) - self.live[lane] :])] < 2:
                self.live[lane] -= 1

    def successors(self):
        found = defaultdict(dict)
        for ngram, count in self.counts.items():
            found[ngram[:-1]][ngram[-1]] = count
        return found


def explicit(state):
    """What each node's context was followed by."""
    found, contexts = {}, state.here_LK.shape[1]
    waiting = [((v,), v) for v in range(VOCAB)]
    while waiting:
        context, node = waiting.pop()
        entry, total = state.node_N4[node, trie.FIRST], 0
        for _ in range(state.node_N4[node, trie.DISTINCT]):
            token, count, link, following = state.entry_E4[entry, :4].tolist()
            found.setdefault(context, {})[token] = count
            total += count
            assert trie.find(state.node_N4, state.entry_E4, state.slot_H2, node, token) == entry
            if count > 1 and len(context) < contexts:
                waiting.append(((*context, token), link))
            entry = following
        assert total == state.node_N4[node, trie.TOTAL]
    return found


@pytest.mark.parametrize("lanes", [1, 3])
def test_what_is_left_is_what_dicts_keep_by_the_same_rule(lanes, monkeypatch):
    levels, move = [], pruning._move

    def noted(*arguments):
        levels.append(arguments[-2:])
        move(*arguments)

    monkeypatch.setattr(pruning, "_move", noted)
    chain, slow = chain_of(lanes=lanes), Slow(4, lanes)
    own_IV, _, lane_I, token_I = positions(COUNT, VOCAB, lanes)
    for start in range(0, COUNT, ROUND):
        part, pruned = slice(start, start + ROUND), len(levels)
        chain.reserve(ROUND)
        for level in levels[pruned:]:
            slow.prune(*level)
            assert explicit(chain._states[0]) == slow.successors()
        chain.take(own_IV[part], {}, lane_I[part], token_I[part].copy())
        chain.drive(0, ROUND)
        chain.finish()
        for lane, token in zip(lane_I[part].tolist(), token_I[part].tolist(), strict=True):
            slow.learn(lane, token)
        known = slow.successors()
        assert all(known[context] == found for context, found in explicit(chain._states[0]).items())
    assert len(levels) > 3 and chain._states[0].bound_4[trie.PRUNINGS] == len(levels)


@pytest.mark.parametrize("target", list(OPTIONS))
def test_rows_sum_to_one_and_prices_are_theirs_across_prunings(target):
    given = own_IV, _, lane_I, token_I = positions(COUNT, VOCAB, 2)
    rows, alone = chain_of(target, lanes=2), chain_of(target, lanes=2)
    row_IV = driven(rows, given, ROUND)
    np.testing.assert_allclose(row_IV.sum(-1, dtype=np.float64), 1.0, atol=2e-6)
    assert row_IV.min() > 0 and rows._states[0].bound_4[trie.PRUNINGS] > 3
    each, found = np.arange(COUNT), []
    for start in range(0, COUNT, ROUND):
        part = slice(start, start + ROUND)
        alone.reserve(ROUND)
        found.append(alone.score(own_IV[each, token_I][part], {}, lane_I[part], token_I[part]))
    assert np.array_equal(np.concatenate(found), row_IV[each, token_I])
    assert same(rows._states[0], alone._states[0])


def test_counts_of_pairs_alone_are_not_forgotten_whole():
    """Their nodes are there from the beginning: none need be added for a round to fit."""
    (stage,) = Backoff(min_order=2, max_order=2, discount=0.5, max_memory_mb=100).stages(Facts(VOCAB, 1, COUNT + 1))
    stage.state.bound_4[trie.CAPACITY] = 200
    chain, left, pruned = Chain([stage], ()), [], 0
    _, _, lane_I, token_I = positions(COUNT, VOCAB)
    for start in range(0, COUNT, 10):
        chain.reserve(10)
        state, part = chain._states[0], slice(start, start + 10)
        if state.bound_4[trie.PRUNINGS] > pruned:
            pruned = state.bound_4[trie.PRUNINGS]
            left.append(int(state.node_N4[:, trie.DISTINCT].sum()))
        chain.score(np.full(10, 1 / VOCAB, dtype=np.float32), {}, lane_I[part], token_I[part])
    assert len(left) > 2 and min(left) > 20


def test_a_fork_prunes_apart():
    chain, given = chain_of(), positions(COUNT, VOCAB)
    driven(chain, given, ROUND)
    before, twin = [array.copy() for array in chain._states[0]], chain.fork()
    driven(twin, given, ROUND)
    assert twin._states[0].bound_4[trie.PRUNINGS] > before[-1][trie.PRUNINGS] and same(chain._states[0], before)


def test_where_nothing_is_pruned_every_bit_is_what_it_was():
    given = positions(COUNT, VOCAB)
    free, bounded = chain_of(capacity=0), chain_of(capacity=20_000)
    assert np.array_equal(driven(free, given, ROUND), driven(bounded, given, ROUND))
    assert not bounded._states[0].bound_4[trie.PRUNINGS]


def test_no_more_bytes_are_held_than_allowed_while_it_prunes():
    random = np.random.default_rng(0)
    token_I, lane_I = random.integers(0, VOCAB, 60_000), np.zeros(60_000, dtype=np.int64)
    node = {"_target_": "pgolf.ngram.backoff.Backoff", "min_order": 2, "max_memory_mb": 1, **OPTIONS["backoff.Backoff"]}
    tracemalloc.start()
    (stage,) = make(node).stages(Facts(VOCAB, 1, len(token_I) + 1))
    chain = Chain([stage], ())
    tracemalloc.reset_peak()
    began = tracemalloc.get_traced_memory()[0]
    for start in range(0, len(token_I), 500):
        part = slice(start, start + 500)
        chain.reserve(500)
        chain.score(np.full(500, 1 / VOCAB, dtype=np.float32), {}, lane_I[part], token_I[part])
    peak = tracemalloc.get_traced_memory()[1] - began
    tracemalloc.stop()
    assert chain._states[0].bound_4[trie.PRUNINGS] > 5 and 400_000 < peak < 1_000_000


def test_a_bound_that_holds_no_round_is_refused_with_the_least_that_does():
    chain = chain_of(capacity=ROUND)
    least = trie.bounded_bytes(ROUND + 1, 4, VOCAB)
    with pytest.raises(ConfigError, match=rf"a round of 60 tokens can take {-(-least // 10**6)} MB even where all"):
        chain.reserve(ROUND)
    assert chain_of(capacity=ROUND + 1).reserve(ROUND) is None


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_decoder_prunes_where_the_encoder_did(lanes):
    class Bounded(Backoff):
        def stages(self, facts):
            (stage,) = super().stages(facts)
            stage.state.bound_4[trie.CAPACITY] = 150
            return (stage,)

    ngram = Bounded(min_order=2, max_order=4, discount=0.5, max_memory_mb=100)
    plan = Sliding(window=32, stride=8, batch_windows=1, lanes=lanes, official_truncation=False)
    tokens_N = stream_of(network_evaluation())[:700]
    evaluator = network_evaluation(method=plan, ngram=ngram, mixer=mean()).evaluator(len(tokens_N))
    reads_what_was_written(evaluator, tokens_N)
    assert evaluator.chain._states[0].bound_4[trie.PRUNINGS] > 1
