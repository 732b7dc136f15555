"""The cache of states beside a plain search of all positions.

Shapes: I positions, V vocabulary, D numbers in a state.
"""

from collections import defaultdict

import numpy as np
import pytest

from pgolf.config.compose import compose
from pgolf.config.compose import settings as settings_of
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval import stage as home
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork, widths_of
from pgolf.eval.scorer import Scorer
from pgolf.eval.sliding import Sliding
from pgolf.eval.stage import Chain
from pgolf.eval.streaming import Streaming
from pgolf.run.rules import check
from tests.eval.fakes import AllRows
from tests.helpers import VOCAB, randomise, tiny_model
from tests.ngram.family import plain, same
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged
from tests.ttt.making import sgd

V, D, COUNT = 9, 70, 150
SETTINGS = {"positions": 60, "neighbours": 4, "candidates": 24, "beta": 8.0, "prior_share": 0.3, "prior_weight": 5.0}


def expert(width=D, count=COUNT, lanes=1, vocab_size=V, **changes):
    made = make({"_target_": "pgolf.ngram.neighbours.Neighbours", **SETTINGS, **changes})
    (stage,) = made.stages(Facts(vocab_size, 1, count + 1, lanes=lanes, widths=lambda: {"mlp_in": width}))
    return stage


def chain_of(**changes):
    return Chain([expert(**changes)], ("mlp_in",))


def given(seed=0, lanes=1):
    """(network's rows, states, lanes, tokens): like states are mostly followed by the same token."""
    random = np.random.default_rng(seed)
    own_IV = random.random((COUNT, V), dtype=np.float32) + np.float32(0.05)
    own_IV /= own_IV.sum(-1, keepdims=True)
    kind_I = random.integers(0, 5, COUNT)
    state_ID = random.normal(0, 1, (5, D))[kind_I] + random.normal(0, 0.4, (COUNT, D)) + 0.5
    token_I = np.where(random.random(COUNT) < 0.8, kind_I, random.integers(0, V, COUNT))
    return own_IV, state_ID.astype(np.float32), random.integers(0, lanes, COUNT), token_I


def driven(chain, positions, begin=0, stop=None):
    own_IV, state_ID, lane_I, token_I = (array[begin:stop] for array in positions)
    chain.take(own_IV, {"mlp_in": state_ID}, lane_I, token_I.copy())
    chain.drive(0, len(token_I))
    chain.finish()
    return chain.row_IV.copy()


class Search:
    """Looks through the whole past. ``cache``: (state, token), the place of each as in the ring."""

    def __init__(self, settings):
        self.settings, self.cache, self.past, self.learnt = settings, [], [], 0
        self.had = defaultdict(lambda: settings["prior_share"] * settings["prior_weight"])
        self.used = defaultdict(lambda: settings["prior_weight"])

    def asked(self, state_D):
        past_nD = np.array(self.past or [np.zeros(len(state_D))])
        x_D = (state_D - past_nD.mean(0)) / np.sqrt(np.maximum(past_nD.var(0), 1e-6))
        scaled_D = x_D * np.sqrt(len(x_D)) * 127 / 4 / np.linalg.norm(x_D)
        return np.clip(np.floor(scaled_D + 0.5), -127, 127).astype(int)

    def candidates(self, q_D):
        """Places in the cache, by the signs that differ."""
        apart = [int(((key_D > 0) != (q_D > 0)).sum()) for key_D, _ in self.cache]
        few = self.settings["candidates"]
        if len(apart) <= few:
            return range(len(apart))
        sample = sorted(apart[::8])
        return [place for place, many in enumerate(apart) if many <= sample[few // 8]]

    def row(self, own_V, state_D):
        """The row, the votes [V] and the level."""
        q_D, one = self.asked(state_D), len(state_D) * (127 / 4) ** 2
        found = [(-int(self.cache[place][0] @ q_D), place) for place in self.candidates(q_D)]
        found = sorted(found)[: self.settings["neighbours"]]  # of equals the one in the earlier place
        if not found:
            return own_V, None, (1, 0, 0)
        vote_V = np.zeros(len(own_V))
        for product, place in found:
            vote_V[self.cache[place][1]] += np.exp(self.settings["beta"] * (found[0][0] - product) / one)
        vote_V /= vote_V.sum()
        level = int(np.clip(np.floor(-16 * found[0][0] / one), 0, 16))
        share = self.had[level] / self.used[level]
        return (1 - share) * own_V + share * vote_V, vote_V, (level + 1, len(found), np.count_nonzero(vote_V))

    def learn(self, own_V, state_D, token):
        row_V, vote_V, (order, _, _) = self.row(own_V, state_D)
        if vote_V is not None:
            share = self.had[order - 1] / self.used[order - 1]
            self.had[order - 1] += share * vote_V[token] / row_V[token]
            self.used[order - 1] += 1
        entry, positions = (self.asked(state_D), token), self.settings["positions"]
        self.cache[self.learnt % positions : self.learnt % positions + 1] = [entry]
        self.past.append(state_D.astype(np.float64))
        self.learnt += 1


@pytest.mark.parametrize("lanes", [1, 3])
def test_rows_are_the_formulas_and_all_that_a_stage_must_be(lanes):
    positions = own_IV, state_ID, lane_I, token_I = given(lanes=lanes)
    whole, search = chain_of(lanes=lanes), Search(SETTINGS)
    row_IV, said_I3 = driven(whole, positions), whole._now.out_SIS[0]
    for i in range(COUNT):
        row_V, _, known = search.row(own_IV[i], state_ID[i])
        np.testing.assert_allclose(row_IV[i], row_V, atol=1e-6)
        assert tuple(said_I3[i]) == known
        search.learn(own_IV[i], state_ID[i], int(token_I[i]))
    np.testing.assert_allclose(row_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    assert np.array_equal(row_IV[0], own_IV[0]) and row_IV.min() > 0 and len(np.unique(said_I3[:, 0])) > 3
    parted = chain_of(lanes=lanes)
    assert np.array_equal(np.concatenate([driven(parted, positions, b, b + 1) for b in range(COUNT)]), row_IV)
    alone = chain_of(lanes=lanes)
    p_I = alone.score(own_IV[np.arange(COUNT), token_I], {"mlp_in": state_ID}, lane_I, token_I)
    assert np.array_equal(p_I, row_IV[np.arange(COUNT), token_I]) and same(alone._states[0], whole._states[0])


def test_compiled_kernels_give_the_bits_of_plain_python_and_a_fork_learns_apart(monkeypatch):
    positions, compiled = given(), chain_of()
    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = chain_of()
    row_IV = driven(compiled, positions, 0, 80)
    assert np.array_equal(driven(interpreted, positions, 0, 80), row_IV)
    assert same(compiled._states[0], interpreted._states[0])
    before = [array.copy() for array in compiled._states[0]]
    forked_IV = driven(compiled.fork(), positions, 80)
    assert same(compiled._states[0], before) and np.array_equal(driven(compiled, positions, 80), forked_IV)


def test_a_row_does_not_depend_on_what_comes_later():
    own_IV, state_ID, lane_I, token_I = positions = given()
    row_IV = driven(chain_of(), positions)
    other_I, other_ID = token_I.copy(), state_ID.copy()
    other_I[70:], other_ID[71:] = (other_I[70:] + 1) % V, -other_ID[71:]
    other_IV = driven(chain_of(), (own_IV, other_ID, lane_I, other_I))
    assert np.array_equal(other_IV[:71], row_IV[:71]) and not np.array_equal(other_IV, row_IV)


def test_what_follows_like_states_is_learnt():
    own_IV, _, _, token_I = positions = given()
    gained_I = np.log(driven(chain_of(), positions) / own_IV)[np.arange(COUNT), token_I]
    assert gained_I[:5].mean() < 0.2 and gained_I[-70:].mean() > 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": 3}, r"ngram\.candidates: 3 are fewer than ngram\.neighbours = 4"),
        ({"prior_share": 1.0}, r"ngram\.prior_share: 1 leaves nothing to the network"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        expert(**changes)


def test_it_goes_with_a_mixer_that_asks_how_much_it_knows():
    check(settings_of(compose(["size=tiny", "ngram=neighbours", "mixer=bucketed"])))


# --- behind a model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_told_each_token_after_its_row_the_rows_are_those_that_score(method, lanes):
    model, random = tiny_model().eval().requires_grad_(False), np.random.default_rng(0)
    randomise(model)
    tokens_N = random.choice(random.integers(2, VOCAB, 9), 150).astype(np.uint16)

    def evaluator(batch, workers):
        facts = Facts(VOCAB, 1, len(tokens_N), workers=workers, lanes=lanes, widths=lambda: widths_of(model))
        numbers = {"lanes": lanes, "official_truncation": False}
        if method == "sliding":
            made = Sliding(window=32, stride=16, batch_windows=batch, **numbers)
        else:
            made = Streaming(window=64, block=32, batch_blocks=batch, **numbers)
        (stage,) = make({"_target_": "pgolf.ngram.neighbours.Neighbours", **SETTINGS}).stages(facts)
        return Evaluator(made.network(FixedNetwork(model).fork(), facts), made.plan(facts), facts, [stage])

    def rows(stops, batch, workers=1):
        one = evaluator(batch, workers)
        coder = AllRows(tokens_N, stops, one.plan.lane_starts)
        one.run(coder, coder.first_tokens)
        return coder.row

    whole, parted, late = rows((), 3), rows((), 1, workers=2), rows((0, 31, 32, 90, 91, 148), 3)
    assert len(whole) == len(tokens_N) - 1
    assert all(np.array_equal(row_V, parted[place]) for place, row_V in whole.items())
    assert late and all(np.array_equal(row_V, whole[place]) for place, row_V in late.items())
    one = evaluator(3, 1)
    scorer = Scorer(tokens_N, one.plan.lane_starts)
    one.run(scorer, scorer.first_tokens)
    np.testing.assert_allclose(scorer.sums.values_N, 1.0, atol=1e-5)


def test_the_certificate_passes_it_beside_the_unadapted_network_of_one_that_adapts():
    hedge = {"_target_": "pgolf.mixer.hedge.Hedge", "eta": 1.0, "epsilon": 0.01, "network_logit": 1.0}
    evaluation = network_evaluation(
        ngram=make({"_target_": "pgolf.ngram.neighbours.Neighbours", **SETTINGS}),
        mixer=make(hedge),
        ttt=sgd(chunk_tokens=64, window=32, epochs=1, unadapted_expert=True),
    )
    assert not judged(evaluation)[1]
