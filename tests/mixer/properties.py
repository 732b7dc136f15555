"""What holds of every mixer, on a stream whose network and experts are fixed rows.

Shapes: I positions, E rows, the network's first, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pgolf.core.make import make
from pgolf.core.prediction import Facts, Stage, in_turn
from pgolf.eval import stage as home
from pgolf.eval.stage import Chain

V, COUNT = 13, 160
OFFERS = ("entropy", "largest", "order")
SCRATCH = ("turn_R", "place_1")  # of a state: what only the last row was made with; a test's own


class Positions(NamedTuple):
    rows_IEV: np.ndarray
    signals: dict[str, np.ndarray]
    token_I: np.ndarray


class RowsOfATest(NamedTuple):
    row_IV: np.ndarray
    place_1: np.ndarray


def predict_given(state, lane, rows_EV, in_F, row_V, out_S):
    for v in range(len(row_V)):
        row_V[v] = state.row_IV[state.place_1[0], v]


def learn_place(state, lane, rows_EV, in_F, token):
    state.place_1[0] += 1


def score_given(state, lane, p_E, in_F, token, out_S):
    p = state.row_IV[state.place_1[0], token]
    state.place_1[0] += 1
    return p


def positions(experts=1, count=COUNT, seed=0):
    """The network has the tokens mostly right, the experts one token that comes all the time; all err now and then."""
    random = np.random.default_rng(seed)
    rows_IEV = random.random((count, 1 + experts, V), dtype=np.float32) ** 6 + np.float32(1e-3)
    rows_IEV[:, 1:, 4] += 1
    rows_IEV[random.random((count, 1 + experts)) < 0.2, 7] += 3
    rows_IEV /= rows_IEV.sum(-1, keepdims=True)
    token_I = np.array([random.choice(V, p=row_V / row_V.sum()) for row_V in rows_IEV[:, 0].astype(np.float64)])
    token_I[random.random(count) < 0.3] = 4
    own_IV = rows_IEV[:, 0]
    order_I = random.integers(1, 9, count).astype(np.float32)
    signals = {"entropy": -(own_IV * np.log(own_IV)).sum(-1), "largest": own_IV.max(-1), "order": order_I}
    return Positions(rows_IEV, signals, token_I)


def mixer(settings, experts=1):
    """The stage of a mixer with these settings, ``_target_`` among them."""
    return make(settings).stage(Facts(V, 1, COUNT + 1), experts)


def chain_of(stage, given):
    experts = []
    for e, row_IV in enumerate(given.rows_IEV[:, 1:].swapaxes(0, 1)):
        state = RowsOfATest(row_IV.copy(), np.zeros(1, dtype=np.int64))
        experts.append(Stage(f"given {e}", predict_given, learn_place, state, score=score_given))
    return Chain([*experts, *in_turn(stage)], OFFERS)


def driven(chain, given, begin=0, stop=None):
    """The rows of these positions, which are learnt."""
    part = slice(begin, stop)
    token_I = given.token_I[part].copy()
    signals = {name: given.signals[name][part] for name in chain.wanted}
    chain.take(given.rows_IEV[part, 0], signals, np.zeros(len(token_I), dtype=np.int64), token_I)
    chain.drive(0, len(token_I))
    chain.finish()
    return chain.row_IV.copy()


def hold_for(
    stage: Callable[[int], Stage], monkeypatch: Any, *, experts: int = 1, sums_to_one: bool = True
) -> np.ndarray:
    """Asserts all of them of the mixer that ``stage(experts)`` makes; returns its rows."""
    given = positions(experts)
    chain = chain_of(stage(experts), given)
    row_IV = driven(chain, given)
    assert row_IV.min() > 0
    if sums_to_one:
        np.testing.assert_allclose(row_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    _in_blocks_and_one_by_one(stage(experts), given, row_IV)
    _later_tokens_change_nothing(stage(experts), given, row_IV)
    _a_fork_learns_apart(chain, given)
    _compiled_is_plain(stage(experts), given, row_IV, monkeypatch)
    if stage(experts).score is not None:
        alone = chain_of(stage(experts), given)
        own_I = given.rows_IEV[np.arange(COUNT), 0, given.token_I]
        signals = {name: given.signals[name] for name in alone.wanted}
        p_I = alone.score(own_I, signals, np.zeros(COUNT, dtype=np.int64), given.token_I)
        assert np.array_equal(p_I, row_IV[np.arange(COUNT), given.token_I])
    if stage(experts).price is not None:
        _prices_are_the_rows(stage, experts, given, row_IV)
    return row_IV


def _prices_are_the_rows(stage, experts, given, row_IV):
    """A token alone is priced as its row would, in two blocks, and learnt alike."""
    chain, alone, found = chain_of(stage(experts), given), chain_of(stage(experts), given), []
    driven(chain, given)
    for part in (slice(0, 90), slice(90, COUNT)):
        signals = {name: given.signals[name][part] for name in alone.wanted}
        lane_I, token_I = np.zeros(len(given.token_I[part]), dtype=np.int64), given.token_I[part].copy()
        found.append(alone.score(given.rows_IEV[part, 0], signals, lane_I, token_I))
    np.testing.assert_allclose(np.concatenate(found), row_IV[np.arange(COUNT), given.token_I], rtol=1e-6)
    for state, other in zip(chain._states, alone._states, strict=True):
        learnt = [name for name in state._fields if name not in SCRATCH]
        assert all(np.array_equal(getattr(state, name), getattr(other, name)) for name in learnt)


def _in_blocks_and_one_by_one(stage, given, row_IV):
    """As the loop does where it scores and where it decodes."""
    chain = chain_of(stage, given)
    assert np.array_equal(driven(chain, given, 0, 40), row_IV[:40])
    token_I = np.zeros(60, dtype=np.int64)
    signals = {name: given.signals[name][40:100] for name in chain.wanted}
    for i in range(60):
        chain.take(given.rows_IEV[40:100, 0], signals, np.zeros(60, dtype=np.int64), token_I)
        chain.drive(i, i)
        assert np.array_equal(chain.row_IV[i], row_IV[40 + i])
        token_I[i] = given.token_I[40 + i]
    chain.finish()
    assert np.array_equal(driven(chain, given, 100), row_IV[100:])


def _later_tokens_change_nothing(stage, given, row_IV):
    other_I = given.token_I.copy()
    other_I[70:] = (other_I[70:] + 1) % V
    assert np.array_equal(driven(chain_of(stage, given), given._replace(token_I=other_I))[:71], row_IV[:71])


def _a_fork_learns_apart(chain, given):
    for state in chain._states[:-1]:
        state.place_1[0] = 0
    before = [array.copy() for state in chain._states for array in state]
    rows_IV = driven(chain.fork(), given)
    now = [array for state in chain._states for array in state]
    assert all(np.array_equal(first, second) for first, second in zip(before, now, strict=True))
    assert np.array_equal(driven(chain, given), rows_IV)


def _compiled_is_plain(stage, given, row_IV, monkeypatch):
    def plain(predict, learn, seen, state):
        return (lambda *rest: home._drive_plain(predict, learn, seen, *rest)), learn, seen

    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = chain_of(stage, given)
    assert np.array_equal(driven(interpreted, given, 0, 40), row_IV[:40])
