import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError, DataError
from pgolf.eval.evaluator import Evaluator, chunks_of, count_chunks
from pgolf.eval.network import NetworkExpert
from pgolf.eval.non_overlapping import NonOverlapping
from pgolf.eval.sliding import Sliding
from pgolf.eval.slots import DoubleScore
from pgolf.mixer.none import Single
from tests.eval.fakes import Average, Bigram, Counting, History
from tests.helpers import VOCAB, randomise, tiny_model

V = 11


def sliding(**changes):
    numbers = {"window": 8, "stride": 4, "chunk_tokens": 16, "batch_windows": 3, "official_truncation": False}
    return Sliding(**(numbers | changes))


def stream(tokens, seed=0):
    return np.random.default_rng(seed).integers(0, V, size=tokens).astype(np.uint16)


def run(evaluator, tokens_N):
    return np.concatenate([evaluator.feed(chunk) for chunk in chunks_of(tokens_N, evaluator.method.chunk_tokens)])


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_scores_have_the_same_bits_however_many_batches_are_scored_side_by_side(workers):
    """Also for a model that is still in training, where this one draws noise."""
    model = tiny_model("arch/mlp=polyglu_routed", "arch/attention=documents")
    randomise(model)
    tokens_N = np.random.default_rng(0).integers(1, VOCAB, size=1500).astype(np.uint16)
    method = sliding(window=64, stride=16, chunk_tokens=512, batch_windows=2)

    def scores(workers):
        expert = NetworkExpert(model).fork()
        return run(Evaluator([expert], Single(), method, stream_tokens=1500, workers=workers), tokens_N)

    assert model.training and np.array_equal(scores(workers), scores(1))
    assert model.training


@pytest.mark.parametrize("tokens", [2, 8, 9, 17, 18, 33, 50])
def test_scores_equal_the_models_own_log_softmax(tokens):
    model, tokens_N = Bigram(V), stream(tokens)
    evaluator = Evaluator([NetworkExpert(model)], Single(), sliding(), stream_tokens=tokens)
    nll_nats = run(evaluator, tokens_N)
    logp = model.table.detach().log_softmax(-1).double().numpy()
    expected = -logp[tokens_N[:-1], tokens_N[1:]]
    np.testing.assert_allclose(nll_nats, expected, atol=1e-6)
    assert nll_nats.dtype == np.float64
    assert evaluator.slots.written == tokens - 1


def test_every_window_is_scored_in_its_own_context():
    model, tokens_N, method = History(V), stream(45), sliding()
    evaluator = Evaluator([NetworkExpert(model)], Single(), method, stream_tokens=45)
    nll_nats = run(evaluator, tokens_N)
    for window in method.plan(0, 44):
        inputs = torch.from_numpy(tokens_N[window.start : window.stop].astype(np.int64)).unsqueeze(0)
        logp = model.logits(inputs).log_softmax(-1)[0, -window.keep :].detach().double().numpy()
        targets = tokens_N[window.first_scored + 1 : window.stop + 1]
        expected = -logp[np.arange(window.keep), targets]
        np.testing.assert_allclose(nll_nats[window.first_scored : window.stop], expected, atol=1e-6)


def test_experts_observe_the_whole_stream_in_order_after_scoring():
    tokens_N = stream(50)
    evaluator = Evaluator([Counting(V)], Single(), sliding(), stream_tokens=50)
    nll_nats = run(evaluator, tokens_N)
    (expert,) = evaluator.experts
    assert np.array_equal(np.concatenate(expert.observed), tokens_N)
    assert [len(tokens) for tokens in expert.observed] == [17, 16, 16, 1]
    np.testing.assert_allclose(nll_nats[:16], np.log(V), atol=1e-6)  # nothing is known in the first chunk
    counts = np.bincount(tokens_N[:17], minlength=V) + 1
    np.testing.assert_allclose(nll_nats[16:32], -np.log(counts / counts.sum())[tokens_N[17:33]], atol=1e-6)


def test_mixture_of_two_experts_and_what_the_mixer_sees():
    tokens_N, model = stream(40), Bigram(V)
    evaluator = Evaluator([NetworkExpert(model), Counting(V)], Average(), sliding(), stream_tokens=40)
    nll_nats = run(evaluator, tokens_N)
    p = (model.table.detach().softmax(-1).numpy()[tokens_N[:16], tokens_N[1:17]] + 1 / V) / 2
    np.testing.assert_allclose(nll_nats[:16], -np.log(p), atol=1e-5)
    assert evaluator.mixer.shown == 39


def test_a_lone_experts_fused_score_is_used():
    class Fused(NetworkExpert):
        calls = 0

        def score(self, inputs_BT, targets_BT, keep):
            Fused.calls += 1
            assert targets_BT.shape == inputs_BT.shape
            assert torch.equal(inputs_BT[:, 1:], targets_BT[:, :-1])
            return self.log_probs(inputs_BT, keep).gather(-1, targets_BT[:, -keep:, None]).squeeze(-1)

    tokens_N = stream(40)
    plain = run(Evaluator([NetworkExpert(Bigram(V))], Single(), sliding(), stream_tokens=40), tokens_N)
    fused = run(Evaluator([Fused(Bigram(V))], Single(), sliding(), stream_tokens=40), tokens_N)
    assert Fused.calls > 0
    assert np.array_equal(plain, fused)


def test_forks_continue_alike_and_apart():
    tokens_N = stream(50)
    chunks = list(chunks_of(tokens_N, 16))
    evaluator = Evaluator([NetworkExpert(Bigram(V)), Counting(V)], Average(), sliding(), stream_tokens=50)
    evaluator.feed(chunks[0])
    fork = evaluator.fork()
    first = fork.feed(chunks[1])
    assert evaluator.position == 16
    assert np.array_equal(first, evaluator.feed(chunks[1]))


def test_skip_gives_the_state_of_feed():
    tokens_N = stream(50)
    fed = Evaluator([Counting(V)], Single(), sliding(), stream_tokens=50)
    skipped = fed.fork()
    chunks = list(chunks_of(tokens_N, 16))
    fed.feed(chunks[0])
    skipped.skip(chunks[0])
    assert np.array_equal(fed.feed(chunks[1]), skipped.feed(chunks[1]))


def test_non_overlapping_equals_sliding_with_stride_of_a_window():
    tokens_N = stream(60)
    side = NonOverlapping(window=8, chunk_tokens=16, batch_windows=2, official_truncation=False)
    a = run(Evaluator([NetworkExpert(History(V))], Single(), side, stream_tokens=60), tokens_N)
    b = run(Evaluator([NetworkExpert(History(V))], Single(), sliding(stride=8), stream_tokens=60), tokens_N)
    assert np.array_equal(a, b)


def test_a_second_score_for_a_slot_is_an_error():
    class OldRule(Sliding):
        """The published double count: clipped windows score the tail again."""

        def plan(self, first, last):
            windows = super().plan(first, last)
            return [*windows, windows[-1]]

    method = OldRule(window=8, stride=4, chunk_tokens=16, batch_windows=1, official_truncation=False)
    evaluator = Evaluator([NetworkExpert(Bigram(V))], Single(), method, stream_tokens=17)
    with pytest.raises(DoubleScore):
        evaluator.feed(stream(17))


def test_chunks_of_the_wrong_length_are_refused():
    evaluator = Evaluator([NetworkExpert(Bigram(V))], Single(), sliding(), stream_tokens=50)
    with pytest.raises(ValueError, match="has 17 tokens, not 16"):
        evaluator.feed(stream(16))


def test_experts_that_do_not_fit_the_mixer_are_refused():
    with pytest.raises(ConfigError, match="cannot combine 2 experts"):
        Evaluator([Counting(V), Counting(V)], Single(), sliding(), stream_tokens=50)
    with pytest.raises(DataError, match="nothing to score"):
        Evaluator([Counting(V)], Single(), sliding(), stream_tokens=1)


@pytest.mark.parametrize("tokens", [2, 16, 17, 18, 33, 34])
def test_chunks_cover_the_stream(tokens):
    chunks = list(chunks_of(stream(tokens), 16))
    assert len(chunks) == count_chunks(tokens, 16)
    assert np.array_equal(np.concatenate(chunks), stream(tokens))
