"""Learnt weights beside the formula in plain float64.

Shapes: I positions, E rows, V vocabulary, F signals.
"""

import math

import numpy as np
import pytest

from pgolf.config.compose import compose
from pgolf.config.compose import settings as settings_of
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts, Stage
from pgolf.eval import stage as home
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from pgolf.eval.stage import Chain
from pgolf.mixer.bucketed import learn
from pgolf.run.rules import check
from tests.eval.fakes import Bigram, Lanes, Stopping
from tests.eval.kernels import unigram

V, COUNT = 13, 300
EDGES = {"largest": [0.1, 0.2, 0.4], "total": [20.0, 100.0]}
OFFERS = ("entropy", "largest")


def bucketed(edges=EDGES, rate=0.1, initial_share=0.2):
    node = {"edges": edges, "rate": rate, "initial_share": initial_share}
    return make({"_target_": "pgolf.mixer.bucketed.Bucketed", **node})


def mixer(experts, **changes):
    return bucketed(**changes).stage(Facts(V, 1, COUNT + 1), experts)


def given(seed=0, count=COUNT):
    """(network's rows, signals, lanes, tokens): tokens come mostly as the network has it, and some all the time."""
    random = np.random.default_rng(seed)
    own_IV = random.random((count, V), dtype=np.float32) ** 6 + np.float32(1e-3)
    own_IV /= own_IV.sum(-1, keepdims=True)
    token_I = np.array([random.choice(V, p=row_V / row_V.sum()) for row_V in own_IV.astype(np.float64)])
    token_I[random.random(count) < 0.3] = 4
    signals = {"largest": own_IV.max(-1), "entropy": -(own_IV * np.log(own_IV)).sum(-1)}
    return own_IV, signals, np.zeros(count, dtype=np.int64), token_I


def experts(count):
    """Counts that fade; each gets its own kernel, but the first alone names its signals so that they do not collide."""
    first = unigram(V)
    others = [Stage(f"other {i}", first.predict, first.learn, first.state, ("a", "b")) for i in range(1, count)]
    return [first, *others]


def chain_of(count, **changes):
    return Chain([*experts(count), mixer(count, **changes)], OFFERS)


def driven(chain, positions):
    own_IV, signals, lane_I, token_I = positions
    chain.take(own_IV, {name: signals[name] for name in chain.wanted}, lane_I, token_I)
    chain.drive(0, len(token_I))
    chain.finish()
    return chain.row_IV.copy()


def by_formula(rows_IEV, signal_IF, token_I, edges, rate, share):
    """The mixture's rows, and the last logits by bucket."""
    others = rows_IEV.shape[1] - 1
    start = math.log(share / others / (1 - share))
    logits, mixed = {}, []
    for rows_EV, signal_F, token in zip(rows_IEV.astype(np.float64), signal_IF, token_I, strict=True):
        bucket = tuple(
            int((value >= np.float32(of_signal)).sum()) for value, of_signal in zip(signal_F, edges, strict=True)
        )
        a_E = logits.setdefault(bucket, np.array([0.0] + [start] * others))
        w_E = np.exp(a_E) / np.exp(a_E).sum()
        mixed.append(w_E @ rows_EV)
        a_E[1:] += rate * w_E[1:] * (rows_EV[1:, token] / mixed[-1][token] - 1)
    return np.array(mixed), logits


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("rate", [0.05, 2.0])
def test_rows_are_the_formulas_at_every_position(count, rate):
    chain, positions = chain_of(count, rate=rate), given()
    found_IV = driven(chain, positions)
    now = chain._now
    expected_IV, logits = by_formula(now.rows_SIEV[-1], now.in_SIF[-1], positions[3], EDGES.values(), rate, 0.2)
    np.testing.assert_allclose(found_IV, expected_IV, rtol=1e-5)
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    assert len(logits) >= 6
    for (first, second), a_E in logits.items():
        np.testing.assert_allclose(chain._states[-1].logit_BE[3 * first + second], a_E, rtol=1e-6, atol=1e-9)


def test_with_one_expert_the_weight_is_the_logistic_of_one_number():
    chain = chain_of(1, edges={"largest": [2.0]})
    driven(chain, given())
    other, used = chain._states[-1].logit_BE[1, 1], chain._states[-1].logit_BE[0, 1]
    assert 1 / (1 + math.exp(-other)) == pytest.approx(0.2) and used != other


def test_a_step_is_the_gradient_of_the_logarithm_of_what_the_token_was_given():
    rows_EV = np.random.default_rng(0).dirichlet(np.ones(V), size=3)
    token, a_E = 5, np.array([0.0, -0.3, 0.8])

    def log_p(a_E):
        return math.log(np.exp(a_E) @ rows_EV[:, token] / np.exp(a_E).sum())

    numeric_E = [(log_p(a_E + step) - log_p(a_E - step)) / 2e-6 for step in np.eye(3)[1:] * 1e-6]
    state = make_state(a_E)
    learn(state, 0, rows_EV, np.zeros(0, dtype=np.float32), token)
    np.testing.assert_allclose(state.logit_BE[0, 1:] - a_E[1:], numeric_E, rtol=1e-5)
    assert state.logit_BE[0, 0] == 0


def make_state(a_E):
    """A state of one bucket with these logits and a rate of 1."""
    return mixer(len(a_E) - 1, edges={}, rate=1.0).state._replace(logit_BE=np.array([a_E]))


def test_weights_go_to_who_is_right():
    """The expert knows that one token comes all the time, which the network does not."""
    own_IV, signals, lane_I, token_I = given()
    token_I[:] = 4
    chain = chain_of(1)
    found_IV = driven(chain, (own_IV, signals, lane_I, token_I))
    loss = -np.log(found_IV[:, 4])
    assert loss[-50:].mean() < 0.5 * -np.log(own_IV[-50:, 4]).mean()
    chain = chain_of(1)  # and away from it where the tokens are the network's
    random = np.random.default_rng(1)
    token_I = np.array([random.choice(V, p=row_V / row_V.sum()) for row_V in own_IV.astype(np.float64)])
    driven(chain, (own_IV, signals, lane_I, token_I))
    assert chain._states[-1].logit_BE[:, 1].min() < math.log(0.2 / 0.8) - 0.5


def test_weights_stay_where_no_row_comes_to_nothing():
    own_IV, signals, lane_I, token_I = given(count=400)
    token_I[:] = 4
    chain = chain_of(1, rate=1000.0)
    found_IV = driven(chain, (own_IV, signals, lane_I, token_I))
    assert np.isfinite(chain._states[-1].logit_BE).all() and found_IV.min() > 0
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)


def test_a_bucket_learns_nothing_from_the_others():
    own_IV, signals, lane_I, token_I = given()
    chain = chain_of(1, edges={"largest": [0.5]})
    driven(chain, (own_IV, {**signals, "largest": np.full(COUNT, 0.49, dtype=np.float32)}, lane_I, token_I))
    first, second = chain._states[-1].logit_BE[:, 1]
    assert second == pytest.approx(math.log(0.25)) and first != second
    driven(chain, (own_IV, {**signals, "largest": np.full(COUNT, 0.5, dtype=np.float32)}, lane_I, token_I))
    assert chain._states[-1].logit_BE[0, 1] == first and chain._states[-1].logit_BE[1, 1] != second


def test_a_token_alone_is_priced_to_the_bit_as_its_row_would_and_learnt_alike():
    """With counts as the expert, whose signals choose the bucket beside one of the network's."""
    own_IV, signals, lane_I, token_I = given()
    node = {"min_order": 2, "max_order": 5, "discount": 0.5, "max_memory_mb": 10}
    ngram = make({"_target_": "pgolf.ngram.backoff.Backoff", **node})
    edges = {"largest": [0.2, 0.4], "order": [2, 3, 4], "total": [2, 8], "distinct": [2, 3]}
    stages = [*ngram.stages(Facts(V, 1, COUNT + 1)), mixer(1, edges=edges)]
    rows, alone = Chain(stages, OFFERS), Chain(stages, OFFERS)
    for chain in (rows, alone):
        chain.reserve(COUNT)
    row_IV, each = driven(rows, (own_IV, signals, lane_I, token_I)), np.arange(COUNT)
    p_I = alone.score(own_IV[each, token_I], {"largest": signals["largest"]}, lane_I, token_I)
    assert np.array_equal(p_I, row_IV[each, token_I])
    for first, second in zip(rows._states, alone._states, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(np.unique(rows._states[1].logit_BE[:, 1])) > 10


def plain(predict, learn, seen, state):
    return (lambda *rest: home._drive_plain(predict, learn, seen, *rest)), learn, seen


@pytest.mark.parametrize("count", [1, 3])
def test_compiled_kernels_give_the_bits_of_plain_python(count, monkeypatch):
    compiled = chain_of(count)
    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = chain_of(count)
    assert np.array_equal(driven(compiled, given()), driven(interpreted, given()))
    assert np.array_equal(compiled._states[-1].logit_BE, interpreted._states[-1].logit_BE)


@pytest.mark.parametrize("stops", [(), (0, 7, 8, 30), range(59)], ids=["scored", "some", "all"])
@pytest.mark.parametrize("lane_starts", [(0,), (0, 20, 40)])
def test_the_loop_gives_the_same_rows_one_at_a_time_and_in_blocks(lane_starts, stops):
    tokens_N, facts = given(count=60)[3].astype(np.uint16), Facts(V, 1, 60, lanes=len(lane_starts))
    plan = Lanes(59, lane_starts, window=8, stride=4)

    def evaluator():
        stages = [unigram(V, len(lane_starts)), bucketed().stage(facts, 1)]
        return Evaluator(FixedNetwork(Bigram(V)), plan, facts, stages)

    scorer = Scorer(tokens_N, lane_starts)
    evaluator().run(scorer, scorer.first_tokens)
    coder = Stopping(tokens_N, stops, lane_starts)
    evaluator().run(coder, coder.first_tokens)
    priced = ~np.isnan(coder.nll_nats_N)
    assert set(coder.row) == set(stops)
    assert np.array_equal(coder.nll_nats_N[priced], scorer.nll_nats.values_N[priced])
    np.testing.assert_allclose(scorer.sums.values_N, 1.0, atol=1e-6)


def test_a_row_does_not_depend_on_what_comes_later():
    own_IV, signals, lane_I, token_I = given()
    whole_IV = driven(chain_of(1), (own_IV, signals, lane_I, token_I))
    for place in (0, 1, 100, 298):
        other_I = token_I.copy()
        other_I[place:] = (other_I[place:] + 1) % V
        other_IV = driven(chain_of(1), (own_IV, signals, lane_I, other_I))
        assert np.array_equal(other_IV[: place + 1], whole_IV[: place + 1])
        assert not np.array_equal(other_IV, whole_IV)


def test_a_fork_learns_apart():
    chain = chain_of(2)
    driven(chain, given())
    fork, before = chain.fork(), chain._states[-1].logit_BE.copy()
    rows_IV = driven(fork, given(1))
    assert np.array_equal(chain._states[-1].logit_BE, before)
    assert np.array_equal(driven(chain, given(1)), rows_IV)


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": {"order": []}}, r"mixer\.edges\.order: \[\] is no list of numbers"),
        ({"edges": {"order": 3}}, r"mixer\.edges\.order: 3 is no list of numbers"),
        ({"edges": {"order": [1, "two"]}}, r"mixer\.edges\.order: .* is no list of numbers"),
        ({"edges": {"order": [1, math.nan]}}, r"mixer\.edges\.order: .* is no list of numbers"),
        ({"edges": {"order": [2, 3, 3]}}, r"mixer\.edges\.order: \[2, 3, 3\] does not ascend"),
        (
            {"edges": {f"s{i}": list(range(127)) for i in range(3)}},
            "they make 2,097,152 buckets; 1,048,576 are the most",
        ),
        ({"initial_share": 1}, r"mixer\.initial_share: 1 leaves nothing to the network"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        bucketed(**changes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ngram=none"], "mixer: bucketed has nothing to mix with the network's row; choose an ngram, or mixer=none"),
        (
            ["ngram=backoff", "+mixer.edges.mood=[1]"],
            "bucketed: needs the signal 'mood', which nobody offers; there are entropy, largest, mlp_in, order, total",
        ),
        (["ngram=backoff", "mixer.rate=0"], "mixer.rate: 0 is out of range: more than 0"),
        (["ngram=backoff", "mixer.initial_share=-1"], "mixer.initial_share: -1 is out of range"),
        (["ngram=backoff", "mixer.edges.order=[3,2]"], "mixer.edges.order: [3, 2] does not ascend"),
        (["ngram=backoff", "mixer.edges=3"], "mixer.edges: 3 is not a mapping"),
    ],
)
def test_words_that_do_not_go_together_are_refused_before_training(words, message):
    with pytest.raises(ConfigError) as refused:
        check(settings_of(compose(["size=tiny", "mixer=bucketed", *words])))
    assert len(refused.value.problems) == 1 and message in refused.value.problems[0]


def test_signals_of_the_network_may_choose_the_bucket():
    check(settings_of(compose(["size=tiny", "ngram=backoff", "mixer=bucketed", "+mixer.edges.entropy=[1,3]"])))
