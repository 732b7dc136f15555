"""What every technique of the trie's family must be, beside plain dicts that keep every context from the first token.

Shapes: I positions, N tokens, V vocabulary.
"""

from collections import Counter, defaultdict

import numpy as np
import pytest

from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval import stage as home
from pgolf.eval.stage import Chain

CASES = {  # vocabulary, tokens, lanes, shortest and longest order
    "orders 2 to 7": (5, 300, 1, 2, 7),
    "three lanes": (5, 300, 3, 2, 5),
    "many successors": (60, 700, 2, 2, 4),
    "without the shortest": (40, 400, 1, 4, 6),
    "one order": (7, 200, 1, 3, 3),
}


class Dicts:
    """For each context the counts of what followed it, and which tokens stood before it and each of them.

    ``step(order, count_V, before_V, below_V)`` is a technique's formula: the row of an order from its counts, as
    integers for all of the vocabulary, and the row below.
    """

    def __init__(self, min_order, max_order, step):
        self.orders, self.step = range(min_order, max_order + 1), step
        self.counts, self.before = defaultdict(Counter), defaultdict(set)
        self.past = defaultdict(list)

    def contexts(self, lane, orders):
        """(order, context) for those of the lane's contexts that are long enough."""
        past = self.past[lane]
        return [(k, tuple(past[len(past) - k + 1 :])) for k in orders if len(past) >= k - 1]

    def row(self, lane, own_V):
        """The row, and order, total and distinct of the longest context that was seen."""
        row_V, known = own_V.astype(np.float64), (1, 0, 0)
        for order, context in self.contexts(lane, self.orders):
            count_V = np.array([self.counts[context][v] for v in range(len(own_V))])
            if count_V.any():
                before_V = np.array([len(self.before[(*context, v)]) for v in range(len(own_V))])
                row_V = self.step(order, count_V, before_V, row_V)
                known = (order, count_V.sum(), (count_V > 0).sum())
        return row_V, known

    def learn(self, lane, token):
        for order, context in self.contexts(lane, range(2, self.orders[-1] + 1)):
            past = self.past[lane]
            self.counts[context][token] += 1
            self.before[(*context, token)].add(past[-order] if len(past) >= order else ("beginning", lane))
        self.past[lane].append(token)


def text(count, vocab_size, seed=0):
    """Tokens that come back: pieces of what was before, rare tokens, and a stretch in which all follow one."""
    random = np.random.default_rng(seed)
    tokens = random.integers(0, vocab_size, 3).tolist()
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


def plain(predict, learn, seen, state):
    """For ``pgolf.eval.stage._compiled``: the kernels as they are."""
    return (lambda *rest: home._drive_plain(predict, learn, seen, *rest)), learn, seen


def chain_of(target, vocab_size, tokens, lanes=1, **settings):
    """One expert alone."""
    (stage,) = make({"_target_": f"pgolf.ngram.{target}", **settings}).stages(
        Facts(vocab_size, 1, tokens + 1, lanes=lanes)
    )
    return Chain([stage], ())


def check_rows(chain, dicts, given_positions):
    """Rows and signals are the reference's at every position, the first of them the network's; returns the rows."""
    own_IV, _, lane_I, token_I = given_positions
    found_IV = driven(chain, given_positions)
    said_I3 = chain._now.out_SIS[0]
    for i in range(len(token_I)):
        row_V, known = dicts.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(found_IV[i], row_V, atol=1e-6, rtol=1e-5)
        assert tuple(said_I3[i]) == known
        dicts.learn(lane_I[i], int(token_I[i]))
    assert np.array_equal(found_IV[0], own_IV[0]), "before anything is counted"
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    assert len(np.unique(said_I3[:, 0])) > 1 and found_IV.min() > 0
    return found_IV


def check_case(case, target, dicts, **settings):
    """A whole technique in one of the cases: rows, prices, causality, forks, plain Python."""
    vocab_size, count, lanes, min_order, _ = CASES[case]
    given_positions = positions(count, vocab_size, lanes)
    settings |= {"min_order": min_order, "max_memory_mb": 100}

    def fresh():
        return chain_of(target, vocab_size, count, lanes, **settings)

    rows = fresh()
    row_IV = check_rows(rows, dicts, given_positions)
    check_prices(rows, row_IV, fresh(), given_positions)
    check_causality(fresh, row_IV, given_positions)
    check_plain(fresh, row_IV, given_positions, rows)


def check_prices(rows, row_IV, alone, given_positions):
    """A token alone is priced to the bit as its row would and learnt alike."""
    own_IV, _, lane_I, token_I = given_positions
    each = np.arange(len(token_I))
    alone.reserve(len(token_I))
    assert np.array_equal(alone.score(own_IV[each, token_I], {}, lane_I, token_I), row_IV[each, token_I])
    assert np.array_equal(alone._states[0].size_4, rows._states[0].size_4)
    assert same(rows._states[0], alone._states[0])


def check_causality(fresh, row_IV, given_positions):
    """A row does not depend on what comes later, and on all that came before."""
    own_IV, _, lane_I, token_I = given_positions
    vocab_size = own_IV.shape[1]
    for place in (0, len(token_I) // 3):
        other_I = token_I.copy()
        other_I[place:] = (other_I[place:] * 3 + 1) % vocab_size
        other_IV = driven(fresh(), (own_IV, {}, lane_I, other_I))
        assert np.array_equal(other_IV[: place + 1], row_IV[: place + 1])
        assert not np.array_equal(other_IV, row_IV)


def check_plain(fresh, row_IV, given_positions, rows):
    """Compiled kernels give the bits of plain Python, and a fork counts apart."""
    own_IV, _, lane_I, token_I = given_positions
    part = slice(0, 120)
    some = own_IV[part], {}, lane_I[part], token_I[part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = fresh()
    assert np.array_equal(driven(interpreted, some), row_IV[part])
    before = [array.copy() for array in rows._states[0]]
    driven(rows.fork(), some)
    assert same(rows._states[0], before)
