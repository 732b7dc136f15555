"""Counts of training text in the artifact: which are kept, their bytes, and what begins with them.

Shapes: T tokens, N n-grams, I positions, V vocabulary.
"""

import math
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest

from pgolf.compressor.range_kernels import CLASSES
from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.stage import Chain
from pgolf.ngram.packed_counts import count_of, decode, encode, size_of
from pgolf.ngram.packed_start import MOST_TOTAL, TrainingCounts
from pgolf.ngram.packing import chosen, counted, packed, worth
from pgolf.run.rules import check
from tests.helpers import tiny_settings
from tests.ngram.family import positions, text

V, LEAST, TEXT = 17, 4, text(3_000, 17, seed=5)


def tokens_of(ngrams):
    """Each n-gram's tokens."""
    found, before_N = [], ngrams.before_N
    for n, token in enumerate(ngrams.token_N.tolist()):
        found.append((n,) if n < V else (*found[before_N[n]], token))
    return found


def ngrams_of(share=0.1, max_order=4):
    lengths = counted(TEXT, V, max_order, LEAST)
    worths = worth(lengths)
    least = np.quantile(np.concatenate(worths), 1 - share)
    return chosen(lengths, [worth_N >= least for worth_N in worths])


def test_counting_is_that_of_dictionaries():
    for k, length in enumerate(counted(TEXT, V, 4, LEAST)):
        true = Counter(zip(*(TEXT[i:].tolist() for i in range(k + 1)), strict=False))
        known = {gram: count for gram, count in true.items() if count >= LEAST or k == 0}
        assert sorted(known.values()) == sorted(length.count_N[length.count_N > 0].tolist())
        assert sum(length.count_N > 0) == len(known)


def test_an_ngram_has_its_count_and_all_that_is_in_it():
    ngrams = ngrams_of()
    found = tokens_of(ngrams)
    true = Counter(tuple(TEXT[i : i + k].tolist()) for k in range(1, 5) for i in range(len(TEXT) - k + 1))
    assert len(set(found)) == len(found) > V + 30 and {len(gram) for gram in found} == {1, 2, 3, 4}
    for n, gram in enumerate(found):
        assert ngrams.size_N[n] == size_of(np.array([true[gram]]))[0]
        if len(gram) > 1:
            assert found[ngrams.after_N[n]] == gram[1:] and gram[:-1] in found


def test_with_an_ngram_whose_count_saves_enough_bits_comes_what_is_in_it_and_nothing_else():
    true = Counter(tuple(TEXT[i : i + k].tolist()) for k in range(5) for i in range(len(TEXT) - k + 1))
    true[()] = len(TEXT)
    saved = {
        gram: math.log2(count * true[gram[1:-1]] / (true[gram[:-1]] * true[gram[1:]]))
        for gram, count in true.items()
        if len(gram) > 1 and count >= LEAST
    }
    worths = np.concatenate(worth(counted(TEXT, V, 4, LEAST)))
    np.testing.assert_allclose(np.sort(worths), np.sort(list(saved.values())), atol=1e-9)
    enough = [gram for gram, bits in saved.items() if bits >= np.quantile(worths, 0.9)]
    inside = {gram[i:j] for gram in enough for i in range(len(gram)) for j in range(i + 1, len(gram) + 1)}
    assert set(tokens_of(ngrams_of(0.1))) == inside | {(v,) for v in range(V)}


def test_sizes_are_nearer_to_the_counts_than_a_step():
    count_N = np.arange(1, 100_000)
    ratio_N = count_of(size_of(count_N)) / count_N
    assert ratio_N.max() < 1.21 and ratio_N.min() > 1 / 1.26
    assert (np.diff(size_of(count_N)) >= 0).all() and count_of(size_of(np.array([0])))[0] == 0


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_bytes_come_back_exactly_and_are_about_one_an_ngram(share):
    ngrams = ngrams_of(share)
    blob = encode(ngrams)
    back = decode(blob, V)
    for name in ("stop_K", "size_N", "after_N", "first_N", "before_N"):
        assert np.array_equal(getattr(back, name), getattr(ngrams, name)), name
    assert np.array_equal(back.token_N[V:], ngrams.token_N[V:]) and back.whole == ngrams.whole
    assert len(blob) < 2 * len(ngrams.size_N)


def test_damaged_bytes_are_refused_or_other_counts_but_never_anything_else():
    blob = encode(ngrams_of())
    for damaged in (b"", blob[:9], blob[:-3], blob + b"x", b"\xff" + blob[1:], blob[:2] + b"\xff" * 4 + blob[6:]):
        with pytest.raises(ArtifactError):
            decode(damaged, V)
    for i in range(0, len(blob), 7):
        with suppress(ArtifactError):
            decode(blob[:i] + bytes([blob[i] ^ 4]) + blob[i + 1 :], V)


def test_the_bytes_allowed_are_nearly_filled_and_never_more():
    for most in range(120, 260, 10):
        assert 0.9 * most < len(packed(TEXT, V, 4, LEAST, most)) <= most
    everything = packed(TEXT, V, 3, LEAST, 10_000)
    all_that_saves = [worth_N > 0 for worth_N in worth(counted(TEXT, V, 3, LEAST))]
    assert tokens_of(decode(everything, V)) == tokens_of(chosen(counted(TEXT, V, 3, LEAST), all_that_saves))
    with pytest.raises(ConfigError, match=r"ngram\.packed_bytes: 8; the tokens' counts alone take"):
        packed(TEXT, V, 3, LEAST, 8)


class Discounted:
    """Absolute discounting in dictionaries that begin with packed counts."""

    def __init__(self, ngrams, max_order, most, discount, least=1):
        self.max_order, self.discount, self.past = max_order, discount, []
        self.counts, self.lost = {}, {}
        sizes = {gram: int(count_of(ngrams.size_N[n])) for n, gram in enumerate(tokens_of(ngrams))}
        for gram, count in sizes.items():
            after = {other[-1]: c for other, c in sizes.items() if other[:-1] == gram and len(other) <= max_order}
            if after and len(gram) < max_order:
                scale = min(1.0, most / count)
                self.counts[gram] = Counter({v: max(round(c * scale), least) for v, c in after.items()})
                self.lost[gram] = max(round(count * scale) - self.counts[gram].total(), 0)

    def row(self, own_V):
        row_V = own_V.astype(np.float64)
        for k in range(1, self.max_order):
            context = tuple(self.past[-k:])
            counts = self.counts.get(context) if len(context) == k else None
            if counts is None:
                break
            kept = self.discount * len(counts) + self.lost.get(context, 0)
            count_V = np.array([counts[v] for v in range(V)])
            discounted_V = np.maximum(count_V - self.discount, 0)
            row_V = (discounted_V + kept * row_V) / (counts.total() + self.lost.get(context, 0))
        return row_V

    def learn(self, token):
        for k in range(1, self.max_order):
            context = tuple(self.past[-k:])
            if len(context) == k:
                self.counts.setdefault(context, Counter())[token] += 1
        self.past.append(token)


def tree(packed_counts, **changes):
    """A tree whose turns are those of absolute discounting, and stay so."""
    own = {"initial_weight": 1.0, "rate": 0, "network_rate": 0, "recency_rate": 0, "recency_start": 0, "leaves": "ids"}
    node = tiny_settings("mixer=tree")["mixer"] | {"max_order": 4, "discount": 0.6} | own | changes
    return make(node).stage(Facts(V, 1, 301, packed=packed_counts), 0)


def backoff(packed_counts):
    """A trie that discounts the same."""
    node = tiny_settings("ngram=backoff", "mixer=fixed")["ngram"] | {"max_order": 4, "discount": 0.6}
    return make(node).stages(Facts(V, 1, 301, packed=packed_counts))[0]


@pytest.mark.parametrize(("store", "least", "most"), [(tree, 1, 5), (tree, 1, 1_000), (backoff, 2, 40)])
def test_a_store_begins_with_the_counts_and_goes_on_from_them(store, least, most):
    ngrams, (own_IV, _, lane_I, token_I) = ngrams_of(0.3), positions(300, V)
    own_IV = np.maximum(own_IV, 1e-3)
    own_IV /= own_IV.sum(-1, keepdims=True)
    chain = Chain([store(TrainingCounts(ngrams, most))], ())
    dicts = Discounted(ngrams, 4, most, 0.6, least)
    if store is backoff:
        _prices_are_rows(chain.fork(), own_IV, lane_I, token_I)
    for start in range(0, 300, 50):  # the room for what is to come is asked for in between
        part = slice(start, start + 50)
        chain.reserve(50)
        chain.take(own_IV[part], {}, lane_I[part], token_I[part])
        chain.drive(0, 50)
        chain.finish()
        for row_V, own_V, token in zip(chain.row_IV, own_IV[part], token_I[part].tolist(), strict=True):
            np.testing.assert_allclose(row_V, dicts.row(own_V), rtol=2e-4, atol=1e-7)
            assert abs(row_V.sum(dtype=np.float64) - 1) < 1e-6
            dicts.learn(token)


def _prices_are_rows(chain, own_IV, lane_I, token_I):
    alone, each = chain.fork(), np.arange(100)
    alone.reserve(100)
    p_I = alone.score(own_IV[each, token_I[:100]], {}, lane_I[:100], token_I[:100])
    chain.reserve(100)
    chain.take(own_IV[:100], {}, lane_I[:100], token_I[:100])
    chain.drive(0, 100)
    assert np.array_equal(p_I, chain.row_IV[each, token_I[:100]])


def test_what_is_longer_than_a_trees_contexts_is_left_out():
    chain = Chain([tree(TrainingCounts(ngrams_of(0.3), 50), max_order=2)], ())
    own_V = np.full(V, 1 / V, dtype=np.float32)
    dicts = Discounted(ngrams_of(0.3), 2, 50, 0.6)
    dicts.past.append(4)
    chain.reserve(2)
    chain.take(np.stack([own_V, own_V]), {}, np.zeros(2, dtype=np.int64), np.array([4, 5]))
    chain.drive(0, 1)
    np.testing.assert_allclose(chain.row_IV[1], dicts.row(own_V), rtol=1e-4)


@pytest.mark.parametrize("store", [tree, backoff])
def test_counts_that_cannot_be_overflow_nothing(store):
    """Every n-gram as often as a number can say, which no text has: rows sum to one all the same."""
    ngrams, (own_IV, _, lane_I, token_I) = ngrams_of(0.3), positions(100, V)
    ngrams.size_N[:] = CLASSES - 1
    chain = Chain([store(TrainingCounts(decode(encode(ngrams), V), MOST_TOTAL))], ())
    chain.reserve(100)
    chain.take(own_IV, {}, lane_I, token_I)
    chain.drive(0, 100)
    assert chain.row_IV.min() > 0 and np.abs(chain.row_IV.sum(-1, dtype=np.float64) - 1).max() < 1e-5


def test_a_context_that_may_count_for_more_is_refused():
    with pytest.raises(ConfigError, match=f"most_total.*{MOST_TOTAL + 1}"):
        check(tiny_settings("ngram=packed", "mixer=tree", f"ngram.most_total={MOST_TOTAL + 1}"))
