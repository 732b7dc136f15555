"""Several processes that share the work of one evaluation, here two of gloo: the same bits as one has.

Shapes: N tokens of the stream, P positions looked at, V vocabulary.
"""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError, RankLost, RanksDisagree, UserError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.core.ranks import ONE, OneRank, share
from pgolf.eval.coder import Enough, Informed
from pgolf.eval.evaluation import apart, check_ranks, rows_are_whole
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from tests.eval.fakes import Stopping
from tests.eval.kernels import blend, price_blend, price_count, unigram
from tests.helpers import BOS, VOCAB, randomise, tiny_model, tiny_settings
from tests.processes import until
from tests.ranks import Forked

TOKENS = 150
SETTINGS = {
    "sliding": {"window": 24, "stride": 8, "batch_windows": 3, "lanes": 1},
    "streaming": {"window": 48, "block": 32, "batch_blocks": 2, "lanes": 3},
    "documents": {"window": 24, "stride": 8, "batch_documents": 3, "batch_windows": 2},
    "none": {},
    "sgd": {"chunk_tokens": 32, "window": 16, "momentum": 0.5},
    "lora": {"chunk_tokens": 32, "window": 16, "restart": False},
    "document_lora": {"chunk_tokens": 8, "lr": 0.01},
    "phased": {
        "chunk_tokens": 32,
        "window": 16,
        "documents": 2,
        "phases": 1,
        "phase_chunk_tokens": 16,
        "phase_window": 8,
    },
    "document_phased": {"chunk_tokens": 8, "documents": 2, "phases": 1, "phase_chunk_tokens": 16, "phase_window": 8},
    "backoff": {"max_order": 3},
}
# What is predicted how, adapted how, and what stands behind: "" nothing, "small" two stages of tests.
CASES = [
    ("sliding", "none", ""),
    ("sliding", "none", "small"),
    ("sliding", "sgd", "small"),
    ("streaming", "none", ""),
    ("streaming", "sgd", "small"),
    ("documents", "none", "small"),
    ("documents", "document_lora", ""),
    ("sliding", "phased", ""),
    ("documents", "document_phased", ""),
]


COUNTED = ("sliding", "none", "backoff")  # their kernels take seconds to compile


def stream():
    random = np.random.default_rng(0)
    token_N = random.choice(random.integers(2, VOCAB, 12), TOKENS)
    token_N[[0, 31, 40, 99, 120]] = BOS
    return token_N.astype(np.uint16)


TOKENS_N = stream()


@pytest.fixture(scope="module")
def model():
    made = tiny_model("arch.layers=2").eval().requires_grad_(False)
    randomise(made)
    return made


def option(group, name):
    return make({**tiny_settings(f"{group}={name}")[group], **SETTINGS.get(name, {})})


def stages_of(name, facts):
    if name == "small":
        counts, mixer = unigram(VOCAB, facts.lanes), blend(experts=1)
        return [replace(counts, score=price_count), replace(mixer, score=price_blend)]
    if name == "backoff":
        return [*option("ngram", "backoff").stages(facts), option("mixer", "bucketed").stage(facts, 1)]
    return []


def evaluator_of(model, ranks, method, ttt="none", stages="", whole_rows=True):
    facts = Facts(VOCAB, BOS, TOKENS, workers=2, ranks=ranks, whole_rows=whole_rows)
    method, ttt = option("eval", method), option("ttt", ttt)
    plan = method.plan(facts)
    facts = replace(facts, lanes=len(plan.lane_starts), apart=apart(plan))
    network = ttt.wrap(method.network(FixedNetwork(model).fork(), facts), facts)
    return Evaluator(network, plan, facts, stages_of(stages, facts))


def prices(evaluator):
    """[nll, Σp] of every target."""
    scorer = Scorer(TOKENS_N, evaluator.plan.lane_starts)
    evaluator.run(scorer, scorer.first_tokens)
    return np.stack([scorer.nll_nats.values_N, scorer.sums.values_N])


class Stops(Informed):
    """A coder that is like a decoder from one place on, and has enough of it after some rows."""

    def __init__(self, lane_starts, place, most):
        super().__init__(TOKENS_N, lane_starts)
        self.place, self.most, self.rows = place, most, []

    def known(self, block):
        if len(self.rows) == self.most:
            raise Enough
        first = int(self._lane_starts[block.lane])
        return super().known(block)[: max(0, self.place - first - block.start) + len(self.rows)]

    def draw(self, place, row_V):
        self.rows.append(row_V.copy())
        return int(TOKENS_N[place + 1])

    def settle(self, place_I, rows, token_I):
        """Nobody asks."""


def drawn_rows(evaluator):
    coder = Stops(evaluator.plan.lane_starts, place=70, most=5)
    evaluator.run(coder, coder.first_tokens)
    return coder.rows


def work(model, ranks):
    """All that is compared."""
    found = {case: prices(evaluator_of(model, ranks, *case)) for case in CASES}
    found |= {(*case, "alone"): prices(evaluator_of(model, ranks, *case, whole_rows=False)) for case in CASES}
    found["rows"] = drawn_rows(evaluator_of(model, ranks, "sliding", "sgd", "small"))
    found["sums"] = [tensor.numpy() for tensor in ranks.summed(halves(ranks), [torch.zeros(3), torch.zeros(2, 2)])]
    found["nothing"] = [tensor.numpy() for tensor in ranks.summed([], [torch.ones(2)])]
    found["uneven"] = [len(tensors) for tensors in ranks.gathered([torch.ones(2)] * ranks.rank)]
    found["long"] = ranks.told(np.arange(1000) if ranks.rank == 0 else np.zeros(0))
    return found


def halves(ranks, count=5):
    """Numbers whose sum depends on the order in which they are added."""
    parts = [torch.randn(7, generator=torch.Generator().manual_seed(n)) * 10.0 ** (3 * n) for n in range(count)]
    return [[parts[n][:3].clone(), parts[n][3:].view(2, 2).clone()] for n in share(ranks, count)]


@pytest.fixture(scope="module")
def alone(model):
    return work(model, ONE)


@pytest.fixture(scope="module")
def together(model, alone, tmp_path_factory):
    """What each of two ranks found; forked after ``alone`` has compiled what there is to compile."""
    answers = Forked(lambda ranks: work(model, ranks), tmp_path_factory.mktemp("ranks") / "meeting").answers()
    assert all(isinstance(answer, dict) for answer in answers), answers
    return answers


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_two_ranks_have_the_bits_of_one(case, alone, together):
    assert not np.isnan(alone[case]).any()
    for found in together:
        assert np.array_equal(found[case], alone[case])


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_two_ranks_that_hand_on_prices_alone_have_the_bits_of_one(case, alone, together):
    for found in together:
        assert np.array_equal(found[(*case, "alone")], alone[(*case, "alone")], equal_nan=True)


@pytest.mark.slow
def test_two_ranks_have_the_bits_of_one_behind_counts_and_their_mixer(model, tmp_path):
    def both(ranks):
        return [prices(evaluator_of(model, ranks, *COUNTED, whole_rows=whole)) for whole in (True, False)]

    expected = both(ONE)
    for found in Forked(both, tmp_path / "meeting").answers():
        assert all(np.array_equal(*pair, equal_nan=True) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_a_target_priced_alone_costs_what_its_row_says(case, alone):
    (nll_nats_N, sum_N), (found_N, known_N) = alone[case], alone[(*case, "alone")]
    np.testing.assert_allclose(found_N, nll_nats_N, rtol=0, atol=1e-6)
    assert np.array_equal(known_N, sum_N) if not case[2] else np.isnan(known_N).all()


@pytest.mark.parametrize("stages", ["small", pytest.param("backoff", marks=pytest.mark.slow)])
def test_targets_priced_alone_leave_the_states_that_rows_do(stages, model):
    whole, priced = (evaluator_of(model, ONE, "documents", "none", stages, whole) for whole in (True, False))
    np.testing.assert_allclose(prices(priced)[0], prices(whole)[0], rtol=0, atol=1e-6)
    for state, other in zip(priced.chain._states, whole.chain._states, strict=True):
        for one, another in zip(state, other, strict=True):
            np.testing.assert_allclose(one, another, rtol=1e-6)


@pytest.mark.parametrize("ttt", ["none", "sgd"])
def test_who_draws_gets_whole_rows_between_targets_that_are_priced_alone_and_all_is_learnt_once(ttt, model):
    stops, coders, states = (0, 70, 71, 90, 148), [], []
    for whole_rows in (True, False):
        evaluator = evaluator_of(model, ONE, "sliding", ttt, "small", whole_rows)
        coders.append(Stopping(TOKENS_N, stops))
        evaluator.run(coders[-1], coders[-1].first_tokens)
        states.append([array for state in evaluator.chain._states for array in state])
    for place in stops:
        np.testing.assert_allclose(coders[1].row[place], coders[0].row[place], rtol=1e-5)
    np.testing.assert_allclose(coders[1].nll_nats_N, coders[0].nll_nats_N, atol=1e-6)
    for one, other in zip(*states, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_stage_without_a_price_is_refused_by_name_where_rows_are_not_whole(model):
    facts = Facts(VOCAB, BOS, TOKENS, whole_rows=False)
    plan = option("eval", "sliding").plan(facts)
    stages = [unigram(VOCAB), replace(blend(experts=1), name="some_mixer")]
    Evaluator(FixedNetwork(model), plan, replace(facts, whole_rows=True), stages)
    stages[0] = replace(stages[0], score=price_count)
    with pytest.raises(ConfigError, match="some_mixer: makes whole rows only"):
        Evaluator(FixedNetwork(model), plan, facts, stages)


@pytest.mark.parametrize(("method", "lanes"), [("streaming", 3), ("documents", 3), ("sliding", 1)])
def test_more_ranks_than_lanes_are_refused_where_a_lane_stays_on_one(method, lanes, model):
    made = option("eval", method)
    facts = Facts(VOCAB, BOS, TOKENS)
    network, separate = made.network(FixedNetwork(model), facts), apart(made.plan(facts))
    check_ranks(made, network, separate, lanes)
    if method == "sliding":
        return check_ranks(made, network, separate, 8)  # windows of one lane go to all
    with pytest.raises(ConfigError, match=f"eval_ranks: 4; .*eval={method} stays on one rank, and 3 lanes"):
        check_ranks(made, network, separate, 4)


@pytest.mark.parametrize(("tokens", "vocab_size", "whole"), [(268_000, 4096, True), (62_000_000, 1024, False)])
def test_rows_are_whole_at_laptop_size_and_not_at_the_official_one(tokens, vocab_size, whole):
    assert rows_are_whole(tokens, vocab_size) == whole


def test_a_decoder_on_two_ranks_has_the_rows_of_one(alone, together):
    first, second = together
    assert len(alone["rows"]) == 5 and np.array_equal(first["rows"], alone["rows"])
    assert not second["rows"], "only the first rank draws"


def test_adaptation_and_stages_change_what_is_compared(alone):
    """Else the comparison says nothing."""
    assert len({alone[case].tobytes() for case in CASES}) == len(CASES)


def test_a_sum_over_ranks_has_the_bits_of_one_rank_that_adds_in_order(alone, together):
    for found in together:
        assert all(map(np.array_equal, found["sums"], alone["sums"]))
        assert np.array_equal(found["nothing"][0], np.zeros(2))


class Elsewhere(OneRank):
    """Its sums lie as the parts of a message do."""

    def summed(self, mine, like):
        total = super().summed(mine, like)
        flat_n = torch.cat([torch.zeros(1), *(tensor.flatten() for tensor in total)])[1:]
        parts = flat_n.split([tensor.numel() for tensor in total])
        return [part.view(tensor.shape) for part, tensor in zip(parts, total, strict=True)]


@pytest.mark.parametrize("ttt", ["sgd", "lora", "phased"])
def test_where_a_sum_lies_in_memory_changes_no_bit(ttt, model):
    weights = []
    for ranks in (ONE, Elsewhere()):
        evaluator = evaluator_of(model, ranks, "sliding", ttt)
        prices(evaluator)
        weights.append([weight.clone() for weight in evaluator.network.network.model.parameters()])
    assert all(map(torch.equal, *weights))
    assert not all(map(torch.equal, weights[0], model.parameters()))


def test_what_ranks_give_and_tell_may_be_of_any_length(together):
    for found in together:
        assert found["uneven"] == [0, 1]
        assert np.array_equal(found["long"], np.arange(1000))


@pytest.mark.parametrize(("count", "world"), [(7, 3), (2, 5), (0, 2), (8, 2)])
def test_shares_are_in_order_and_as_even_as_can_be(count, world):
    ranks = type("Of", (), {"world": world, "rank": 0})()
    shares = [share(ranks, count, rank) for rank in range(world)]
    assert [index for part in shares for index in part] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_rank_that_is_killed_ends_the_others_by_name_and_leaves_no_process(model, tmp_path):
    def dying(ranks):
        evaluator, scorer = evaluator_of(model, ranks, "sliding"), Scorer(TOKENS_N)

        def progress(label, done, total):
            if ranks.rank == 1 and done > TOKENS // 2:
                os.kill(os.getpid(), signal.SIGKILL)

        evaluator.run(scorer, scorer.first_tokens, progress)

    forked = Forked(dying, tmp_path / "meeting")
    left, killed = forked.answers()
    assert isinstance(left, RankLost) and isinstance(left, UserError)
    assert "of the 2 processes" in str(left)
    assert killed is None
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in forked.pids), 10)


def test_ranks_that_come_to_other_prices_are_refused_by_name(model, tmp_path):
    def differing(ranks):
        evaluator, scorer = evaluator_of(model, ranks, "sliding", stages="small"), Scorer(TOKENS_N)
        if ranks.rank == 1:
            evaluator.chain._states[1].weights_E[0] *= 1 + 1e-6
        evaluator.run(scorer, scorer.first_tokens)

    for answer in Forked(differing, tmp_path / "meeting").answers():
        assert isinstance(answer, RanksDisagree)
        assert "of 2 processes 1 priced" in str(answer)
