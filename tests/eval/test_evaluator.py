"""The loop. References here take one window at a time and know nothing of batches, rounds, threads or lanes.

Shapes: N tokens of the stream, V vocabulary.
"""

import itertools

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError, DataError
from pgolf.core.prediction import Facts, Span
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.non_overlapping import NonOverlapping
from pgolf.eval.scorer import Scorer
from pgolf.eval.sliding import Sliding
from pgolf.eval.slots import DoubleScore
from pgolf.eval.windows import windows
from tests.eval.fakes import Bigram, Counting, History, Lanes, Listed, Stopping
from tests.eval.kernels import blend, journal, memory, unigram
from tests.helpers import VOCAB, randomise, tiny_model

V = 11
WINDOW, STRIDE = 48, 16
LANE_STARTS = {1: (0,), 3: (0, 96, 160)}  # the second is longer than the others


@pytest.fixture(scope="module")
def model():
    made = tiny_model().eval().requires_grad_(False)
    randomise(made)
    return made


def stream(tokens, vocab_size=V, seed=0):
    return np.random.default_rng(seed).integers(1, vocab_size, size=tokens).astype(np.uint16)


def facts(tokens_N, vocab_size=V, workers=1):
    return Facts(vocab_size, 1, len(tokens_N), workers=workers)


def sliding(window=8, stride=4, batch_windows=3):
    return Sliding(window=window, stride=stride, batch_windows=batch_windows, lanes=1, official_truncation=False)


def non_overlapping(window=8, batch_windows=3):
    return NonOverlapping(window=window, batch_windows=batch_windows, lanes=1, official_truncation=False)


def evaluator_of(network, tokens_N, plan=None, stages=(), vocab_size=V, workers=1):
    about = facts(tokens_N, vocab_size, workers)
    return Evaluator(network, plan or sliding().plan(about), about, stages)


def scored(evaluator, tokens_N):
    scorer = Scorer(tokens_N, evaluator.plan.lane_starts)
    evaluator.run(scorer, scorer.first_tokens)
    return scorer


def stopped(evaluator, tokens_N, stops):
    coder = Stopping(tokens_N, stops, evaluator.plan.lane_starts)
    evaluator.run(coder, coder.first_tokens)
    assert set(coder.row) == set(stops)
    return coder


def two_stages(lanes=1, vocab_size=VOCAB):
    return [unigram(vocab_size, lanes), blend(experts=1)]


def window_by_window(model, tokens_N, window, stride):
    """The price of each target, by the rule's formula: w = 0, S, 2S, … while w + L - S < T'."""
    targets, tokens_N = len(tokens_N) - 1, torch.from_numpy(tokens_N.astype(np.int64))
    nll_nats = []
    for start in itertools.count(0, stride):
        if start and start + window - stride >= targets:
            break
        stop = min(start + window, targets)
        keep = stop if start == 0 else stop - start - (window - stride)
        logp_KV = model.logits(tokens_N[None, start:stop], keep)[0].log_softmax(-1)
        nll_nats += (-logp_KV.gather(-1, tokens_N[stop - keep + 1 : stop + 1, None])).double().flatten().tolist()
    return np.array(nll_nats)


# --- scores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [5, STRIDE, WINDOW])
@pytest.mark.parametrize("tokens", [2, 40, 49, 50, 300])
@torch.inference_mode()
def test_scores_have_the_bits_of_one_window_at_a_time(model, stride, tokens):
    tokens_N = stream(tokens, VOCAB)
    made = sliding(WINDOW, stride) if stride < WINDOW else non_overlapping(WINDOW)
    nll_nats = window_by_window(model, tokens_N, WINDOW, made.stride)
    plan = made.plan(facts(tokens_N))
    scorer = scored(evaluator_of(FixedNetwork(model), tokens_N, plan, vocab_size=VOCAB), tokens_N)
    assert np.array_equal(scorer.nll_nats.values_N, nll_nats)
    np.testing.assert_allclose(scorer.sums.values_N, 1.0, atol=1e-5)
    assert scorer.nll_nats.written == tokens - 1


@pytest.mark.parametrize(("batch_windows", "workers"), [(1, 1), (2, 3), (5, 2), (64, 8)])
@pytest.mark.parametrize("stages", [0, 2])
def test_scores_have_the_same_bits_whatever_the_batch_and_however_many_are_scored_side_by_side(
    batch_windows, workers, stages
):
    """Also for a model that was still in training, where this one draws noise."""
    model = tiny_model("arch/mlp=polyglu_routed", "arch/attention=documents")
    randomise(model)
    assert model.training
    tokens_N = stream(700, VOCAB)

    def scores(batch_windows, workers):
        plan = sliding(WINDOW, STRIDE, batch_windows).plan(facts(tokens_N))
        network = FixedNetwork(model).fork()
        given = (tokens_N, plan, two_stages()[:stages], VOCAB, workers)
        return scored(evaluator_of(network, *given), tokens_N).nll_nats.values_N

    assert np.array_equal(scores(batch_windows, workers), scores(3, 1))


@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trainable"])
def test_windows_that_keep_a_position_or_two_have_the_same_bits_in_any_batch(frozen, stride):
    """A product with a vector is another kernel than one with a matrix; torch makes one of a batch only at times."""
    tokens_N, model = stream(100, VOCAB), tiny_model().requires_grad_(not frozen)

    def scores(batch_windows):
        plan = sliding(WINDOW, stride, batch_windows).plan(facts(tokens_N))
        network = FixedNetwork(model).fork()
        return scored(evaluator_of(network, tokens_N, plan, vocab_size=VOCAB), tokens_N).nll_nats.values_N

    assert np.array_equal(scores(1), scores(8))


@pytest.mark.parametrize("tokens", [2, 8, 9, 17, 18, 33, 50])
def test_scores_equal_the_models_own_log_softmax(tokens):
    model, tokens_N = Bigram(V), stream(tokens)
    scorer = scored(evaluator_of(FixedNetwork(model), tokens_N), tokens_N)
    logp = model.table.detach().log_softmax(-1).double().numpy()
    np.testing.assert_allclose(scorer.nll_nats.values_N, -logp[tokens_N[:-1], tokens_N[1:]], atol=1e-6)
    assert scorer.nll_nats.values_N.dtype == np.float64


def test_every_window_is_scored_in_its_own_context():
    model, tokens_N = History(V), stream(45)
    scorer = scored(evaluator_of(FixedNetwork(model), tokens_N), tokens_N)
    expected = window_by_window(model, tokens_N, 8, 4)
    np.testing.assert_allclose(scorer.nll_nats.values_N, expected, atol=1e-6)
    whole = window_by_window(model, tokens_N, 44, 44)
    assert not np.allclose(scorer.nll_nats.values_N[8:], whole[8:], atol=1e-3)


def test_with_stages_the_last_ones_row_is_priced():
    tokens_N = stream(30)
    stages = [unigram(V), blend(experts=1)]
    scorer = scored(evaluator_of(FixedNetwork(Bigram(V)), tokens_N, stages=stages), tokens_N)
    logp_V = Bigram(V).table[int(tokens_N[0])].log_softmax(-1).detach().double().numpy()
    own = 1 - (np.exp(logp_V) * logp_V).sum() / V  # its weight by the blend: 1 + entropy / total
    p = (own * np.exp(logp_V)[tokens_N[1]] + 1 / V) / (own + 1)
    assert scorer.nll_nats.values_N[0] == pytest.approx(-np.log(p), abs=1e-6)
    np.testing.assert_allclose(scorer.sums.values_N, 1.0, atol=1e-5)


def test_a_probability_rounded_to_nothing_is_still_a_price_for_stages():
    class Sure(Bigram):
        def logits(self, ids_BT, keep=None):
            return 1000 * super().logits(ids_BT, keep)

    tokens_N = stream(30)
    scorer = scored(evaluator_of(FixedNetwork(Sure(V)), tokens_N, stages=[journal(needs=("largest",))]), tokens_N)
    assert np.isfinite(scorer.nll_nats.values_N).all() and scorer.nll_nats.values_N.max() == pytest.approx(
        69.08, abs=0.01
    )


# --- one token after its row ------------------------------------------------------------------------------------


def plan_of(lanes, tokens_N, **changes):
    return Lanes(len(tokens_N) - 1, LANE_STARTS[lanes], **{"window": WINDOW, "stride": STRIDE} | changes)


@pytest.mark.parametrize("where", ["everywhere", "at random", "at the ends"])
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("stages", [0, 2])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_rows_that_score_it(model, where, lanes, stages):
    tokens_N = stream(240, VOCAB)
    plan, network, targets = plan_of(lanes, tokens_N), FixedNetwork(model), len(tokens_N) - 1
    stops = {
        "everywhere": range(targets),
        "at random": np.random.default_rng(0).choice(targets, 40, replace=False).tolist(),
        "at the ends": sorted({0, targets - 1, *plan.lane_starts, *(start - 1 for start in plan.lane_starts if start)}),
    }[where]
    given = (tokens_N, plan, two_stages(lanes)[:stages], VOCAB)
    expected = scored(evaluator_of(network, *given), tokens_N).nll_nats.values_N
    coder = stopped(evaluator_of(network, *given), tokens_N, stops)
    priced = ~np.isnan(coder.nll_nats_N)
    assert priced[list(stops)].all()
    if stages:
        assert np.array_equal(coder.nll_nats_N[priced], expected[priced])
    else:  # the scorer prices log-probabilities, a row holds probabilities
        np.testing.assert_allclose(coder.nll_nats_N[priced], expected[priced], atol=1e-6)
    assert all(row_V.dtype == np.float32 and row_V.shape == (VOCAB,) for row_V in coder.row.values())


@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trainable"])
def test_also_where_each_window_keeps_a_position_or_two(frozen, stride):
    tokens_N, model = stream(100, VOCAB), tiny_model().requires_grad_(not frozen)
    plan = sliding(WINDOW, stride, batch_windows=8).plan(facts(tokens_N))
    given = (FixedNetwork(model).fork(), tokens_N, plan, two_stages(), VOCAB)
    expected = scored(evaluator_of(*given), tokens_N).nll_nats.values_N
    assert np.array_equal(stopped(evaluator_of(*given), tokens_N, range(99)).nll_nats_N, expected)


@pytest.mark.parametrize("stages", [0, 2])
def test_a_row_has_the_same_bits_whatever_comes_after_it(model, stages):
    """Every row of the stream, whether what comes after it in its block is unknown, known, or something else."""
    tokens_N = stream(130, VOCAB)
    plan = sliding(WINDOW, STRIDE).plan(facts(tokens_N))

    def rows(tokens_N, stops):
        evaluator = evaluator_of(FixedNetwork(model), tokens_N, plan, two_stages()[:stages], VOCAB)
        return stopped(evaluator, tokens_N, stops).row

    alone = rows(tokens_N, range(129))
    for place in (0, 20, 47, 48, 63, 64, 100, 128):
        other_N = tokens_N.copy()
        other_N[place + 1 :] = (other_N[place + 1 :] * 7 + 3) % (VOCAB - 1) + 1
        assert (other_N[place + 1 :] != tokens_N[place + 1 :]).any()
        for found in (rows(tokens_N, [place]), rows(other_N, [place])):
            assert np.array_equal(found[place], alone[place])


def test_a_row_of_the_network_has_the_same_bits_however_many_lanes_are_beside(model):
    """Three lanes of one text each, together and each as a stream of its own."""
    tokens_N = stream(241, VOCAB)
    starts = (0, 80, 160)
    plan = Lanes(240, starts, WINDOW, STRIDE, batch_blocks=3)
    beside = stopped(evaluator_of(FixedNetwork(model), tokens_N, plan, vocab_size=VOCAB), tokens_N, range(240)).row
    for start in starts:
        own_N = tokens_N[start : start + 81]
        alone_plan = sliding(WINDOW, STRIDE).plan(facts(own_N))
        alone = stopped(evaluator_of(FixedNetwork(model), own_N, alone_plan, vocab_size=VOCAB), own_N, range(80)).row
        assert all(np.array_equal(alone[place], beside[start + place]) for place in range(80))


@pytest.mark.parametrize("stops", [(), (5,), (3, 17, 18, 40), range(59)])
@pytest.mark.parametrize("lanes", [(0,), (0, 20, 40)])
def test_stages_learn_every_token_once_in_the_order_of_prediction_after_its_row(stops, lanes):
    tokens_N = stream(60)
    plan = Lanes(59, lanes, window=8, stride=4)
    evaluator = evaluator_of(FixedNetwork(Bigram(V)), tokens_N, plan, [journal()])
    stopped(evaluator, tokens_N, stops)
    count, event_N4, _ = evaluator.chain._states[0]
    assert count[0] == 2 * 59
    kind, lane, token, _ = event_N4[: 2 * 59].T
    assert kind.tolist() == [0, 1] * 59 and np.array_equal(lane[::2], lane[1::2])
    for index, start in enumerate(lanes):
        size = ([*lanes[1:], 59])[index] - start
        assert token[1::2][lane[1::2] == index].tolist() == tokens_N[start + 1 : start + 1 + size].tolist()


def test_lanes_in_lockstep_take_turns_token_by_token():
    tokens_N = stream(61)
    evaluator = evaluator_of(FixedNetwork(Bigram(V)), tokens_N, Lanes(60, (0, 20, 40), 8, 4), [journal()])
    scored(evaluator, tokens_N)
    assert evaluator.chain._states[0].event_N4[:120:2, 1].tolist() == [0, 1, 2] * 20


# --- networks that learn ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [0, 1])
@pytest.mark.parametrize("stops", [(), (0, 7, 8, 30), range(59)], ids=["scored", "some", "all"])
@pytest.mark.parametrize("lanes", [(0,), (0, 20, 40)])
def test_a_network_that_learns_observes_every_token_once_in_order_whoever_is_told_what(lanes, stops, stages):
    tokens_N = stream(60)
    plan = Lanes(59, lanes, window=8, stride=4, batch_blocks=2)
    given = (tokens_N, plan, [unigram(V, len(lanes))][:stages])
    plain, network = Counting(V), Counting(V)
    expected = scored(evaluator_of(plain, *given), tokens_N).nll_nats.values_N
    coder = stopped(evaluator_of(network, *given), tokens_N, stops)
    assert network.observed == plain.observed
    seen = {lane: [] for lane in range(len(lanes))}
    for blocks, inputs, targets in network.observed:
        for block, input_T, target_K in zip(blocks, inputs, targets, strict=True):
            first = lanes[block.lane]
            assert input_T == tokens_N[first + block.context : first + block.stop].tolist()
            assert block.start == len(seen[block.lane])
            seen[block.lane] += target_K
    assert [token for lane in seen.values() for token in lane] == tokens_N[1:].tolist()
    priced = ~np.isnan(coder.nll_nats_N)
    np.testing.assert_allclose(coder.nll_nats_N[priced], expected[priced], atol=1e-6)


@pytest.mark.parametrize("stops", [(), (0, 7, 8, 30), range(59)], ids=["scored", "some", "all"])
def test_what_a_network_observes_is_the_batch_that_it_saw_last_with_its_true_inputs(stops):
    tokens_N, network = stream(60), Counting(V)
    stopped(evaluator_of(network, tokens_N), tokens_N, stops)
    for before, call in itertools.pairwise(network.calls):
        if call[0] == "observe":
            assert before[0] == "log_probs" and before[1] == call[1] and torch.equal(before[2], call[2])


def test_a_network_that_does_not_build_on_its_last_rows_is_not_asked_for_them_again():
    class Aloof(Counting):
        replayed = False

    tokens_N, network, plain = stream(60), Aloof(V), Counting(V)
    found = scored(evaluator_of(network, tokens_N), tokens_N).nll_nats.values_N
    assert np.array_equal(found, scored(evaluator_of(plain, tokens_N), tokens_N).nll_nats.values_N)
    assert network.observed == plain.observed
    asked = [block for call in network.calls if call[0] == "log_probs" for block in call[1]]
    assert sorted(asked, key=lambda block: block.start) == list(windows(59, 8, 4))


def test_within_a_round_a_networks_rows_are_made_from_one_state():
    """Nothing of a round is observed before all of its rows are there: 8 batches of 3 windows, the first of 8."""
    tokens_N, network = stream(250), Counting(V)
    scorer = scored(evaluator_of(network, tokens_N), tokens_N)
    np.testing.assert_allclose(scorer.nll_nats.values_N[:100], np.log(V), atol=1e-6)
    counts = np.bincount(tokens_N[1:101], minlength=V) + 1
    np.testing.assert_allclose(
        scorer.nll_nats.values_N[100:196], -np.log(counts / counts.sum())[tokens_N[101:197]], atol=1e-6
    )


@pytest.mark.parametrize("stops", [(), range(99)], ids=["scored", "stopped"])
@pytest.mark.parametrize("cadence", [4, 8, 12, 16, 1000])
@pytest.mark.parametrize("lanes", [(0,), (0, 30, 60)])
def test_rounds_end_at_multiples_of_the_cadence(lanes, cadence, stops):
    """Whatever is predicted from a multiple on, all lanes' tokens before it have been observed, and none after it."""
    tokens_N, network = stream(100), Counting(V, cadence)
    plan = Lanes(99, lanes, window=8, stride=4, batch_blocks=2, steps=1000)  # a single round but for the cadence
    stopped(evaluator_of(network, tokens_N, plan), tokens_N, stops)
    observed = set()
    for what, blocks, _, _ in network.calls:
        if what == "observe":
            observed |= set(blocks)
        for block in blocks if what == "log_probs" else ():
            due = {other for other in windows_of(plan) if other.stop <= block.start // cadence * cadence}
            assert due <= observed
    for before, after in itertools.pairwise(call for call in network.calls if call[0] == "observe"):
        assert {block.start for block in before[1]} <= {*range(max(b.start for b in after[1]) + 1)}


def windows_of(plan):
    return [block for blocks in plan.rounds(None) for block in blocks]


def test_a_round_without_a_cadence_is_learnt_from_at_its_end():
    tokens_N, network = stream(100), Counting(V)
    scored(evaluator_of(network, tokens_N, Lanes(99, (0,), 8, 4, steps=1000)), tokens_N)
    first = [call[0] for call in network.calls].index("observe")
    assert sum(block.keep for call in network.calls[: first - 1] for block in call[1]) == 99


class Collecting(Counting):
    """Learns only once it has observed as many tokens as its cadence has."""

    def __init__(self, vocab_size, cadence):
        super().__init__(vocab_size, cadence)
        self.waiting = []

    def observe(self, batch, tokens_BK):
        self.waiting += tokens_BK.flatten().tolist()
        while len(self.waiting) >= self.cadence:
            due, self.waiting = self.waiting[: self.cadence], self.waiting[self.cadence :]
            self.counts_V = self.counts_V + torch.bincount(torch.tensor(due), minlength=len(self.counts_V))


@pytest.mark.parametrize("batch_windows", [1, 2, 64])
def test_what_learns_at_its_cadence_gives_the_same_scores_whatever_the_batch(batch_windows):
    tokens_N = stream(250)

    def scores(batch_windows):
        plan = sliding(batch_windows=batch_windows).plan(facts(tokens_N))
        return scored(evaluator_of(Collecting(V, 16), tokens_N, plan), tokens_N).nll_nats.values_N

    found = scores(batch_windows)
    assert np.array_equal(found, scores(3))
    by_hand = [np.bincount(tokens_N[1 : i // 16 * 16 + 1], minlength=V) + 1 for i in range(249)]
    p_N = [counts_V[token] / counts_V.sum() for counts_V, token in zip(by_hand, tokens_N[1:], strict=True)]
    np.testing.assert_allclose(found, -np.log(p_N), atol=1e-6)


# --- rows that nobody wants -------------------------------------------------------------------------------------


class Wanting(Scorer):
    """Wants the rows of the blocks that hold a place."""

    def __init__(self, tokens_N, places):
        super().__init__(tokens_N)
        self.places = places

    def wants(self, block):
        return any(block.start <= place < block.stop for place in self.places)


class Watched(FixedNetwork):
    """Which blocks' rows were made."""

    def __init__(self, model):
        super().__init__(model)
        self.made = []

    def log_probs(self, batch, wanted=()):
        self.made += batch.blocks
        return super().log_probs(batch, wanted)


@pytest.mark.parametrize("stages", [0, 1])
def test_rows_that_nobody_wants_are_made_only_where_stages_learn_from_them(stages):
    tokens_N, network = stream(100), Watched(Bigram(V))
    evaluator = evaluator_of(network, tokens_N, stages=[unigram(V)][:stages])
    coder = Wanting(tokens_N, [50, 98])
    evaluator.run(coder, coder.first_tokens)
    blocks = list(windows(99, 8, 4))
    wanted = [block for block in blocks if coder.wants(block)]
    assert len(wanted) == 2
    assert network.made == (blocks if stages else wanted)
    assert coder.nll_nats.written == sum(block.keep for block in wanted)


def test_a_network_that_learns_sees_every_block_also_where_nobody_wants_its_rows():
    tokens_N, network = stream(100), Counting(V)
    coder = Wanting(tokens_N, [50])
    evaluator_of(network, tokens_N).run(coder, coder.first_tokens)
    plain = Counting(V)
    expected = scored(evaluator_of(plain, tokens_N), tokens_N).nll_nats.values_N
    assert network.observed == plain.observed
    written = coder.nll_nats.writes_N == 1
    assert written.sum() == 4 and np.array_equal(coder.nll_nats.values_N[written], expected[written])


# --- the evaluator itself ---------------------------------------------------------------------------------------


def test_forks_continue_alike_and_apart():
    tokens_N, more_N = stream(50), stream(50, seed=1)
    evaluator = evaluator_of(Counting(V), tokens_N, stages=[unigram(V)])
    scored(evaluator, tokens_N)
    fork = evaluator.fork()
    first = scored(fork, more_N).nll_nats.values_N
    assert np.array_equal(first, scored(evaluator, more_N).nll_nats.values_N)
    assert fork.network.observed == evaluator.network.observed
    fresh = scored(evaluator_of(Counting(V), more_N, stages=[unigram(V)]), more_N).nll_nats.values_N
    assert not np.array_equal(first, fresh)


def test_whether_anything_learns_is_said():
    tokens_N = stream(50)
    assert not evaluator_of(FixedNetwork(Bigram(V)), tokens_N).learns
    assert evaluator_of(FixedNetwork(Bigram(V)), tokens_N, stages=[unigram(V)]).learns
    assert evaluator_of(Counting(V), tokens_N).learns


def test_room_is_made_before_each_round_for_its_tokens():
    tokens_N, asked = stream(250), []
    evaluator = evaluator_of(FixedNetwork(Bigram(V)), tokens_N, stages=[memory(asked)])
    scored(evaluator, tokens_N)
    assert asked == [100, 96, 53]
    assert evaluator.chain._states[0].tokens.tolist() == tokens_N[1:].tolist()


def test_progress_counts_the_targets():
    tokens_N, seen = stream(250), []
    evaluator = evaluator_of(FixedNetwork(Bigram(V)), tokens_N)
    scorer = Scorer(tokens_N)
    tape = evaluator.run(scorer, scorer.first_tokens, lambda label, done, total: seen.append((label, done, total)))
    assert seen == [("positions", 100, 249), ("positions", 196, 249), ("positions", 249, 249)]
    assert tape.known(0) == 249 and tape.inputs(Span(0, 0, 0, 249)).tolist() == tokens_N[:-1].tolist()


def test_the_time_that_forward_passes_got_of_a_core_is_counted():
    tokens_N = stream(50)
    evaluator = evaluator_of(FixedNetwork(Bigram(V)), tokens_N)
    assert evaluator.core_share.share is None
    scored(evaluator, tokens_N)
    assert 0 <= evaluator.core_share.share <= 1


def test_kernels_have_one_thread_and_afterwards_what_they_had():
    class Asking(FixedNetwork):
        def log_probs(self, batch, wanted=()):
            threads.append(torch.get_num_threads())
            return super().log_probs(batch, wanted)

    tokens_N, threads = stream(250), []
    torch.set_num_threads(2)
    scored(evaluator_of(Asking(Bigram(V)), tokens_N, workers=2), tokens_N)
    assert set(threads) == {1} and torch.get_num_threads() == 2


@pytest.mark.parametrize("tokens", [0, 1])
def test_a_stream_of_fewer_than_two_tokens_is_a_data_error(tokens):
    with pytest.raises(DataError, match=f"a stream of {tokens} tokens has nothing to score"):
        evaluator_of(FixedNetwork(Bigram(V)), stream(tokens), plan=Listed([]))


def test_stages_that_need_what_the_network_does_not_offer_are_refused():
    with pytest.raises(ConfigError, match=r"needs the signal 'entropy'.*observed"):
        evaluator_of(Counting(V), stream(50), stages=[journal()])


GAPS = {
    "the end": [[Span(0, 0, 0, 4), Span(0, 0, 4, 8)]],
    "the beginning": [[Span(0, 0, 4, 8), Span(0, 4, 8, 12)]],
    "the middle": [[Span(0, 0, 0, 4)], [Span(0, 4, 8, 12)]],
    "the middle of a round": [[Span(0, 0, 0, 4), Span(0, 4, 8, 12)]],
    "everything": [],
}


@pytest.mark.parametrize("coder", [Scorer, lambda tokens_N: Stopping(tokens_N, range(12))], ids=["scorer", "decoder"])
@pytest.mark.parametrize("where", list(GAPS))
def test_a_plan_that_leaves_out_positions_is_an_error(where, coder):
    tokens_N = stream(13)
    evaluator, coder = evaluator_of(FixedNetwork(Bigram(V)), tokens_N, Listed(GAPS[where])), coder(tokens_N)
    with pytest.raises(ValueError, match="plan"):
        evaluator.run(coder, coder.first_tokens)


def test_a_plan_that_goes_on_beyond_the_end_is_an_error():
    tokens_N = stream(13)
    for last in (Span(0, 4, 8, 14), Span(0, 4, 8, 12), Span(1, 0, 0, 4)):
        plan = Listed([[Span(0, 0, 0, 4), Span(0, 0, 4, 8), last, Span(0, 8, 12, 16)]])
        evaluator, scorer = evaluator_of(FixedNetwork(Bigram(V)), tokens_N, plan), Scorer(tokens_N)
        with pytest.raises((ValueError, IndexError)):
            evaluator.run(scorer, scorer.first_tokens)


@pytest.mark.parametrize(
    "again",
    [[Span(0, 4, 8, 12)], [Span(0, 0, 4, 8)], [Span(0, 4, 10, 12)], [Span(0, 0, 4, 12)]],
    ids=["the last block", "an earlier one", "a part of one", "two in one"],
)
def test_a_plan_that_predicts_a_position_twice_is_an_error(again):
    """As the published rule did, whose clipped windows scored the tail again."""
    tokens_N = stream(13)
    once = [Span(0, 0, 0, 4), Span(0, 0, 4, 8), Span(0, 4, 8, 12)]
    for rounds in ([once, again], [once + again]):
        evaluator, scorer = evaluator_of(FixedNetwork(Bigram(V)), tokens_N, Listed(rounds)), Scorer(tokens_N)
        with pytest.raises((DoubleScore, ValueError)):
            evaluator.run(scorer, scorer.first_tokens)
