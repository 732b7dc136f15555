"""Turns of the tree beside the formula in plain Python, with counts in dictionaries.

Shapes: I positions, E rows, V vocabulary.
"""

import math
from collections import Counter, defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pgolf.config.compose import compose
from pgolf.config.compose import settings as settings_of
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval import stage as home
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from pgolf.eval.sliding import Sliding
from pgolf.eval.stage import Chain
from pgolf.mixer.tree import COUNT, USED, halved
from pgolf.run.rules import check
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.eval.fakes import Bigram, Lanes, Stopping
from tests.eval.kernels import price_count, unigram

V, COUNT_I, OFFERS = 13, 200, ("entropy", "largest")
SETTINGS = {
    "max_order": 4,
    "discount": 0.6,
    "initial_weight": 0.3,
    "rate": 0.05,
    "network_rate": 0.01,
    "recency_rate": 0.02,
    "recency_start": 1.0,
    "leaves": "ids",
    "max_memory_mb": 10,
}


def mixer(experts=0, lanes=1, targets=COUNT_I, embedding=None, **changes):
    made = make({"_target_": "pgolf.mixer.tree.Tree", **SETTINGS, **changes})
    return made.stage(Facts(V, 1, targets + 1, lanes=lanes, embedding=embedding), experts)


def given(seed=0, count=COUNT_I, lanes=1):
    """(network's rows, lanes, tokens): what came after the same two tokens before comes again, most of the time."""
    random = np.random.default_rng(seed)
    own_IV = random.random((count, V), dtype=np.float32) ** 6 + np.float32(1e-3)
    own_IV /= own_IV.sum(-1, keepdims=True)
    token_I = random.integers(0, V, count)
    for i in range(40, count):
        if random.random() < 0.8:
            token_I[i] = token_I[i - 37]
    return own_IV, np.arange(count) % lanes, token_I


def chain_of(experts=0, lanes=1, **changes):
    chain = Chain([*[unigram(V, lanes)][:experts], mixer(experts, lanes=lanes, **changes)], OFFERS)
    chain.reserve(COUNT_I)
    return chain


@pytest.mark.parametrize("experts", [0, 1])
def test_a_token_alone_is_priced_as_its_row_would_and_learnt_alike(experts):
    own_IV, lane_I, token_I = given(lanes=2)
    rows, alone = chain_of(experts, lanes=2), chain_of(experts, lanes=2)
    row_IV = driven(rows, (own_IV, lane_I, token_I))
    found = [alone.score(own_IV[part], {}, lane_I[part], token_I[part]) for part in (slice(0, 70), slice(70, None))]
    assert np.array_equal(np.concatenate(found), row_IV[np.arange(COUNT_I), token_I])
    for name in ("node_N8", "entry_N4", "here_LK", "network_SRK", "weight_SRKB", "expert_SRE", "recency_KB"):
        assert np.array_equal(getattr(rows._states[-1], name), getattr(alone._states[-1], name)), name
    with pytest.raises(ConfigError, match="tree: needs the network's whole rows"):
        chain_of(lanes=2).score(own_IV[:, 0], {}, lane_I, token_I)


def driven(chain, positions):
    own_IV, lane_I, token_I = positions
    chain.take(own_IV, {}, lane_I, token_I)
    chain.drive(0, len(token_I))
    chain.finish()
    return chain.row_IV.copy()


class ByFormula:
    """One row after the other, all nodes by recursion through spans of ids."""

    def __init__(self, vocab_size, experts, settings):
        self.settings, self.levels = settings, math.ceil(math.log2(vocab_size))
        self.past = defaultdict(list)  # of each lane
        self.after = defaultdict(list)  # of each context: (token, when), in turn
        self.when = 0
        self.u = defaultdict(lambda: 1.0)
        self.w = defaultdict(lambda: settings["initial_weight"])
        self.r, self.taught = defaultdict(float), defaultdict(float)

    def row(self, lane, rows_EV, token=None):
        """Learns the token if there is one."""
        row_V = np.zeros(rows_EV.shape[1])
        self._below(lane, rows_EV.astype(np.float64), 0, 1 << self.levels, 0, 1.0, row_V, token)
        if token is not None:
            self.when += 1
            past = self.past[lane]
            for k in range(1, self.settings["max_order"]):
                if len(past) >= k:
                    self.after[tuple(past[-k:])].append((token, self.when))
            past.append(token)
        return row_V

    def _below(self, lane, rows_EV, first, width, level, p, row_V, token):
        if first >= len(row_V):
            return
        if width == 1:
            row_V[first] = p
            return
        half, p_left = first + width // 2, 1.0
        if half < len(row_V):
            p_left = self._turn(lane, rows_EV, first, half, first + width, level, token)
        self._below(lane, rows_EV, first, width // 2, level + 1, p * p_left, row_V, token)
        self._below(lane, rows_EV, half, width // 2, level + 1, p * (1 - p_left), row_V, token)

    def _turn(self, lane, rows_EV, first, half, last, level, token):
        left_E, right_E = rows_EV[:, first:half].sum(1), rows_EV[:, half:last].sum(1)
        x_E = np.log(left_E / right_E)
        x_E[1:] = x_E[0] + np.clip(x_E[1:] - x_E[0], -10, 10)
        left, right, above, past = left_E[0], right_E[0], x_E[0], self.past[lane]
        news, recencies = [], []
        for k in range(1, self.settings["max_order"]):
            after = self.after.get(tuple(past[-k:]), []) if len(past) >= k else []
            counts = Counter(token for token, _ in after)
            here = {token: count for token, count in counts.items() if first <= token < last}
            if not here:
                break
            discount, sides = self.settings["discount"], []
            for side, begin, end in ((left, first, half), (right, half, last)):
                on = [count for token, count in here.items() if begin <= token < end]
                sides.append((sum(on) - discount * len(on) + discount * len(counts) * side) / len(after))
            left, right = sides
            news.append((min(max(math.log(left / right) - above, -10), 10), self._bucket(here)))
            above = math.log(left / right)
            latest, when = after[-1]
            if first <= latest < last:
                run = len(after) - next((i for i in range(len(after), 0, -1) if after[i - 1][0] != latest), 0)
                mixed = len({token < half for token in here}) == 2
                ago = min((self.when - when + 1).bit_length() // 3, 8)
                recencies.append((1 if latest < half else -1, (len(news), min(run, 3), ago, mixed)))
        if not news and len(x_E) == 1:
            return left_E[0] / (left_E[0] + right_E[0])
        sets, longest = (("level", level), ("order", len(news))), len(news)
        recent = sum(sign * self.r[place] for sign, place in recencies)
        z_S = [
            self.u[of, longest] * x_E[0]
            + recent
            + sum(self.w[of, k, bucket] * x for k, (x, bucket) in enumerate(news))
            + sum(self.w[of, "expert", e] * (x_E[e] - x_E[0]) for e in range(1, len(x_E)))
            for of in sets
        ]
        p = _logistic(sum(z_S) / 2)
        if token is not None and first <= token < last:
            came = float(token < half)
            for sign, place in recencies:
                self.taught[place] += p * (1 - p)
                rate = self.settings["recency_rate"] + self.settings["recency_start"] / (self.taught[place] + 20)
                self.r[place] += rate * (came - p) * sign
            for of, z in zip(sets, z_S, strict=True):
                error = came - _logistic(z)
                self.u[of, longest] += self.settings["network_rate"] * error * x_E[0]
                for k, (x, bucket) in enumerate(news):
                    self.w[of, k, bucket] += self.settings["rate"] * error * x
                for e in range(1, len(x_E)):
                    self.w[of, "expert", e] += self.settings["rate"] * error * (x_E[e] - x_E[0])
        return p

    def _bucket(self, here):
        return min(min(sum(here.values()), 63).bit_length(), 6), min(len(here), 3)


def _logistic(z):
    return 1 / (1 + math.exp(-z))


@pytest.mark.parametrize(("experts", "lanes"), [(0, 1), (0, 2), (1, 1)])
def test_rows_are_the_formulas_at_every_position(experts, lanes):
    chain, positions = chain_of(experts, lanes), given(lanes=lanes)
    found_IV, reference = driven(chain, positions), ByFormula(V, experts, SETTINGS)
    rows_IEV = chain._now.rows_SIEV[-1] if experts else positions[0][:, None]
    for rows_EV, lane, token, found_V in zip(rows_IEV, *positions[1:], found_IV, strict=True):
        np.testing.assert_allclose(found_V, reference.row(int(lane), rows_EV), rtol=1e-5)
        reference.row(int(lane), rows_EV, int(token))
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    assert len(reference.r) > 10 and max(map(abs, reference.r.values())) > 0.05


def test_with_the_leaves_in_another_order_the_rows_are_those_of_tokens_so_numbered():
    own_IV, lane_I, token_I = given()
    vector_VD = np.random.default_rng(3).random((V, 1))
    token_V = np.argsort(vector_VD[:, 0])
    by_vector_IV = driven(chain_of(embedding=lambda: vector_VD, leaves="embedding"), (own_IV, lane_I, token_I))
    numbered_IV = driven(chain_of(), (own_IV[:, token_V], lane_I, np.argsort(token_V)[token_I]))
    assert np.array_equal(by_vector_IV[:, token_V], numbered_IV)
    assert not np.array_equal(by_vector_IV, driven(chain_of(), (own_IV, lane_I, token_I)))


def test_the_leaves_are_halved_along_the_axis_in_which_vectors_differ_most():
    random = np.random.default_rng(0)
    vector_VD = random.normal(0, 0.1, (16, 3)) + 10 * np.eye(3)[2] * (np.arange(16) % 2)[:, None]
    vector_VD += 3 * np.eye(3)[0] * (np.arange(16) // 2 % 2)[:, None]
    order_V = halved(vector_VD, np.arange(16), 16)
    groups = [sorted({int(token) % 4 for token in order_V[begin : begin + 4]}) for begin in range(0, 16, 4)]
    assert sorted(order_V) == list(range(16)) and sorted(groups) == [[0], [1], [2], [3]]
    assert sorted({token % 2 for token in order_V[:8].tolist()}) in ([0], [1])


def test_text_that_repeats_itself_is_learnt():
    own_IV, _, token_I = positions = given()
    found_IV, each = driven(chain_of(), positions), np.arange(COUNT_I)
    gained_I = np.log(found_IV[each, token_I] / own_IV[each, token_I])
    assert gained_I[:30].mean() > -0.2 and gained_I[-100:].mean() > 1.0


@pytest.mark.parametrize("sure", [0, V - 1])
def test_rows_stay_positive_and_sum_to_one_where_the_network_is_all_but_sure_and_wrong(sure):
    own_IV, lane_I, token_I = given()
    own_IV[:] = 1e-30
    own_IV[:, sure] = 1.0
    found_IV = driven(chain_of(rate=1.0, network_rate=0.1), (own_IV, lane_I, token_I))
    assert np.isfinite(found_IV).all() and found_IV.min() > 0
    np.testing.assert_allclose(found_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)


def test_what_is_learnt_of_a_tokens_path_is_what_its_row_said():
    own_IV, _, token_I = positions = given()
    chain = chain_of(rate=0, network_rate=0, recency_rate=0, recency_start=0)  # which would change lower turns
    row_V, token = driven(chain, positions)[-1], token_I[-1]
    state = chain._states[0]  # its turns are those of the last path
    assert np.float32(state.scale_M[state.leaf_V[token]] * own_IV[-1, token]) == row_V[token] != own_IV[-1, token]
    for left_over in (state.count_KM, state.distinct_KM, state.is_listed_M):
        assert not left_over.any()


def plain(predict, learn, seen, state):
    return (lambda *rest: home._drive_plain(predict, learn, seen, *rest)), learn, seen


def test_compiled_kernels_give_the_bits_of_plain_python(monkeypatch):
    positions = given(count=80)
    compiled = chain_of()
    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = chain_of()
    assert np.array_equal(driven(compiled, positions), driven(interpreted, positions))
    for first, second in zip(compiled._states[0], interpreted._states[0], strict=True):
        assert np.array_equal(first, second)


@pytest.mark.parametrize("stops", [(), (0, 7, 8, 30), range(59)], ids=["scored", "some", "all"])
@pytest.mark.parametrize("lane_starts", [(0,), (0, 20, 40)])
def test_the_loop_gives_the_same_rows_one_at_a_time_and_in_blocks(lane_starts, stops):
    tokens_N, lanes = given(count=60)[2].astype(np.uint16), len(lane_starts)
    plan = Lanes(59, lane_starts, window=8, stride=4)

    def evaluator():
        return Evaluator(FixedNetwork(Bigram(V)), plan, Facts(V, 1, 60, lanes=lanes), [mixer(lanes=lanes)])

    scorer = Scorer(tokens_N, lane_starts)
    evaluator().run(scorer, scorer.first_tokens)
    coder = Stopping(tokens_N, stops, lane_starts)
    evaluator().run(coder, coder.first_tokens)
    priced = ~np.isnan(coder.nll_nats_N)
    assert set(coder.row) == set(stops)
    assert np.array_equal(coder.nll_nats_N[priced], scorer.nll_nats.values_N[priced])
    np.testing.assert_allclose(scorer.sums.values_N, 1.0, atol=1e-6)


@pytest.mark.parametrize(("score", "experts"), [(None, 0), (price_count, 1), (None, 1)])
def test_beside_an_expert_with_prices_targets_are_priced_alone_and_their_scores_have_the_same_bits(score, experts):
    tokenizer = ByteTokenizer()
    counts = SimpleNamespace(stages=lambda facts: [replace(unigram(facts.vocab_size, 1), score=score)][:experts])
    evaluation = Evaluation(
        FixedNetwork(Bigram(tokenizer.vocab_size)),
        tokenizer,
        Sliding(window=16, stride=8, lanes=1, batch_windows=3, official_truncation=False),
        "raw",
        mixer=make({"_target_": "pgolf.mixer.tree.Tree", **SETTINGS}),
        ngram=counts,
        workers=1,
    )
    tokens_N = np.concatenate([[tokenizer.bos_id], tokenizer.encode("what came before comes again " * 3)])
    alone, found = score is not None, []
    assert evaluation.evaluator(len(tokens_N)).facts.whole_rows != alone
    for made in (evaluation, replace(evaluation, whole_rows=True)):
        found.append(Scorer(tokens_N))
        made.evaluator(len(tokens_N)).run(found[-1], found[-1].first_tokens)
    assert np.array_equal(found[0].nll_nats.values_N, found[1].nll_nats.values_N)
    assert np.isnan(found[0].sums.values_N).all() == alone and not np.isnan(found[1].sums.values_N).any()


def test_a_row_does_not_depend_on_what_comes_later():
    own_IV, lane_I, token_I = given()
    whole_IV = driven(chain_of(), (own_IV, lane_I, token_I))
    for place in (0, 1, 100, 198):
        other_I = token_I.copy()
        other_I[place:] = (other_I[place:] + 1) % V
        other_IV = driven(chain_of(), (own_IV, lane_I, other_I))
        assert np.array_equal(other_IV[: place + 1], whole_IV[: place + 1])
        assert not np.array_equal(other_IV, whole_IV)


def test_a_fork_learns_apart():
    chain = chain_of()
    driven(chain, given())
    chain.reserve(COUNT_I)
    fork = chain.fork()
    before = [array.copy() for array in chain._states[0]]
    rows_IV = driven(fork, given(1))
    assert all(np.array_equal(first, second) for first, second in zip(before, chain._states[0], strict=True))
    assert np.array_equal(driven(chain, given(1)), rows_IV)


def test_room_that_grows_as_the_tokens_come_changes_no_row():
    own_IV, lane_I, token_I = given()
    whole_IV = driven(chain_of(), (own_IV, lane_I, token_I))
    chain, sizes = Chain([mixer()], OFFERS), set()
    for begin in range(0, COUNT_I, 10):
        part = slice(begin, begin + 10)
        chain.reserve(10)
        sizes.add((len(chain._states[0].node_N8), len(chain._states[0].slot_H)))
        assert np.array_equal(driven(chain, (own_IV[part], lane_I[part], token_I[part])), whole_IV[part])
    state = chain._states[0]
    assert 5 < len(sizes) < 15 and state.size_3[USED] <= len(state.node_N8)
    entries = np.flatnonzero(state.entry_N4[:, COUNT])
    assert sorted(state.slot_H[state.slot_H > 0]) == entries.tolist()


# --- settings ---------------------------------------------------------------------------------------------------


def test_a_stream_that_might_take_more_memory_than_allowed_is_refused():
    with pytest.raises(ConfigError, match=r"mixer\.max_memory_mb: 10; .* of 100,000 tokens can take 77 MB"):
        mixer(targets=100_000)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mixer.max_order=1", "mixer.max_order: 1 is out of range: from 2 to 12"),
        ("mixer.discount=0", "mixer.discount: 0 is out of range"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(word, message):
    with pytest.raises(ConfigError) as refused:
        check(settings_of(compose(["size=tiny", "mixer=tree", word])))
    assert len(refused.value.problems) == 1 and message in refused.value.problems[0]


@pytest.mark.parametrize("ngram", ["none", "backoff"])
def test_it_goes_with_experts_and_without(ngram):
    check(settings_of(compose(["size=tiny", "mixer=tree", f"ngram={ngram}"])))
