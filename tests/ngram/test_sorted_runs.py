"""Sorted runs are the trie at their own cadence, row by row, price by price, and all at once as tensors.

Shapes: I positions, V vocabulary.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval import stage as home
from pgolf.eval.stage import Chain
from pgolf.ngram.sorted_runs import MOST_RUNS, SortedRun, prices, runs_of, with_chunk
from tests.ngram.family import Dicts, chain_of, driven, plain, positions, same

V, COUNT = 40, 260
SETTINGS = {"min_order": 2, "max_order": 4, "discount": 0.6, "max_memory_mb": 100}


def runs(chunk, lanes=1, **changes):
    return chain_of("sorted_runs.SortedRunsBackoff", V, COUNT, lanes, chunk_tokens=chunk, **(SETTINGS | changes))


def step(order, count_V, before_V, below_V):
    total, kinds = count_V.sum(), (count_V > 0).sum()
    return (np.maximum(count_V - 0.6, 0) + 0.6 * kinds * below_V) / total


class Lagged(Dicts):
    """Contexts move with every token, counts are those of full chunks."""

    def __init__(self, *rest, chunk):
        super().__init__(*rest)
        self.chunk, self.waiting = chunk, []

    def learn(self, lane, token):
        self.waiting += [(context, token) for _, context in self.contexts(lane, range(2, self.orders[-1] + 1))]
        self.past[lane].append(token)

    def count(self):
        for context, token in self.waiting:
            self.counts[context][token] += 1
        self.waiting = []


@pytest.mark.parametrize("lanes", [1, 3])
def test_with_chunks_of_one_token_they_are_the_trie(lanes):
    given = positions(COUNT, V, lanes)
    trie = chain_of("backoff.Backoff", V, COUNT, lanes, **SETTINGS)
    np.testing.assert_allclose(driven(runs(1, lanes), given, 1), driven(trie, given, 1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("min_order", [2, 3])
def test_rows_and_signals_are_those_of_the_counts_of_full_chunks(min_order):
    own_IV, _, lane_I, token_I = positions(COUNT, V, 2)
    chain, dicts = runs(20, 2, min_order=min_order), Lagged(min_order, 4, step, chunk=20)
    for start in range(0, COUNT, 20):
        part = slice(start, start + 20)
        found_IV = driven(chain, (own_IV[part], {}, lane_I[part], token_I[part]))
        for i in range(20):
            row_V, known = dicts.row(lane_I[start + i], own_IV[start + i])
            np.testing.assert_allclose(found_IV[i], row_V, rtol=1e-5, atol=1e-7)
            assert tuple(chain._now.out_SIS[0][i]) == known
            dicts.learn(lane_I[start + i], int(token_I[start + i]))
        dicts.count()
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)


def test_prices_are_those_of_the_rows_one_by_one_and_all_at_once():
    given = positions(COUNT, V)
    own_IV, _, lane_I, token_I = given
    row_IV = driven(rows := runs(20), given, 20)
    alone = runs(20)
    for start in range(0, COUNT, 20):
        part, places = slice(start, start + 20), np.arange(start, start + 20)
        alone.reserve(20)
        p_I = alone.score(own_IV[places, token_I[part]], {}, lane_I[part], token_I[part])
        np.testing.assert_allclose(p_I, row_IV[places, token_I[part]], rtol=1e-6, atol=1e-9)
        state = alone._states[0]
        key_KI = torch.tensor(state.waiting_KC[:, int(state.size_1[0]) - 20 : int(state.size_1[0])])
        runs_K = [runs_of(state, k, "cpu") for k in range(3)]
        own_I = torch.tensor(own_IV[places, token_I[part]])
        np.testing.assert_allclose(prices(runs_K, key_KI, own_I, 6, 0.6).numpy(), p_I, rtol=1e-5, atol=1e-9)
    assert same(rows._states[0][:8], alone._states[0][:8])


def test_a_row_depends_on_no_later_token_and_on_earlier_ones():
    own_IV, _, lane_I, token_I = positions(COUNT, V)
    row_IV = driven(runs(20), (own_IV, {}, lane_I, token_I), 20)
    other_I = token_I.copy()
    other_I[105:] = (other_I[105:] * 3 + 1) % V
    other_IV = driven(runs(20), (own_IV, {}, lane_I, other_I), 20)
    assert np.array_equal(other_IV[:106], row_IV[:106]) and not np.array_equal(other_IV[106:], row_IV[106:])


def test_compiled_kernels_give_the_bits_of_plain_python(monkeypatch):
    own_IV, _, lane_I, token_I = (part if isinstance(part, dict) else part[:100] for part in positions(COUNT, V))
    given = own_IV, {}, lane_I, token_I
    row_IV = driven(runs(20), given, 20)
    monkeypatch.setattr(home, "_compiled", plain)
    assert np.array_equal(driven(runs(20), given, 20), row_IV)


def test_there_are_few_runs_and_each_ngram_is_new_once():
    random, held, seen = torch.Generator().manual_seed(0), [], []
    for size in [*range(400, 20, -30), *[3] * 30]:
        chunk = torch.randint(0, 300, (size,), generator=random)
        held, seen = with_chunk(held, chunk), [*seen, chunk]
        sizes = [len(run.key_R) for run in held]
        assert len(held) <= MOST_RUNS and all(2 * b < a for a, b in pairwise(sizes))
    whole, counts = torch.cat(seen).unique(return_counts=True)
    found = torch.zeros(300, dtype=torch.int64), torch.zeros(300, dtype=torch.int64)
    for run in held:
        assert (run.key_R.diff() > 0).all()
        found[0].index_add_(0, run.key_R, run.count_R)
        found[1].index_add_(0, run.key_R, run.fresh_R)
    assert torch.equal(found[0][whole], counts) and (found[1][whole] == 1).all() and isinstance(held[0], SortedRun)


def test_ngrams_that_are_no_number_and_too_much_memory_are_refused():
    node = {"_target_": "pgolf.ngram.sorted_runs.SortedRunsBackoff", **SETTINGS, "chunk_tokens": 5}
    with pytest.raises(ConfigError, match=r"ngram\.max_order: 6; 62 bits hold n-grams of 5 of 4,096 tokens"):
        make(node | {"max_order": 6}).stages(Facts(4096, 1, 100))
    with pytest.raises(ConfigError, match=r"ngram\.max_memory_mb: 100; sorted runs of 3 orders"):
        make(node).stages(Facts(V, 1, 5_000_000))
    with pytest.raises(ConfigError, match=r"ngram\.min_order: 5 is above"):
        make(node | {"min_order": 5})
    assert isinstance(runs(5), Chain)
