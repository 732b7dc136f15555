import dataclasses
import math

import numpy as np
import pytest

from pgolf.core.errors import ConfigError, DataError
from pgolf.eval.evaluation import (
    Evaluation,
    byte_counts,
    embedding_of,
    evaluation_of,
    make_score,
    names_beside,
    score_stream,
)
from pgolf.eval.metric import bits_per_byte
from pgolf.eval.network import FixedNetwork
from pgolf.eval.sliding import Sliding
from pgolf.tokenizer.bytes import ByteTokenizer
from pgolf.ttt.none import NoAdaptation
from tests.eval.fakes import Bigram, Counting, Lanes
from tests.eval.stages import counts, mean
from tests.helpers import tiny_model

TOKENIZER = ByteTokenizer()
NUMBERS = {"window": 16, "stride": 4, "lanes": 1, "batch_windows": 3, "official_truncation": False}


def method(**changes):
    return Sliding(**(NUMBERS | changes))


def evaluation(**changes):
    network = FixedNetwork(Bigram(TOKENIZER.vocab_size))
    return dataclasses.replace(Evaluation(network, TOKENIZER, method(), "raw"), **changes)


def stream(text):
    return np.concatenate([[TOKENIZER.bos_id], TOKENIZER.encode(text)]).astype(np.uint16)


def record(nll_nats_N, sum_p_N, **more):
    tokens_N = stream("x" * len(nll_nats_N))
    named = {"split": "val", "subset": False, "seconds": 1.0, "valid": True}
    return make_score(evaluation(), tokens_N, np.array(nll_nats_N), np.array(sum_p_N), **(named | more))


def test_score_of_a_live_model():
    model = Bigram(TOKENIZER.vocab_size)
    tokens_N = stream("abc déf " * 12)
    seen = []
    score = score_stream(
        evaluation_of(model, TOKENIZER, method()),
        tokens_N,
        split="dev",
        subset=True,
        progress=lambda label, done, total: seen.append((label, done, total)),
    )
    logp = model.table.detach().log_softmax(-1).double().numpy()
    nll_nats = -logp[tokens_N[:-1], tokens_N[1:]]
    assert score.val_loss == pytest.approx(nll_nats.mean(), abs=1e-6)
    assert score.val_bpb == pytest.approx(nll_nats.sum() / math.log(2) / len(("abc déf " * 12).encode()), abs=1e-6)
    assert (score.split, score.subset, score.method, score.metric) == ("dev", True, "sliding", "raw")
    assert (score.window, score.stride, score.valid) == (16, 4, False)
    assert score.tokens == len(tokens_N) - 1 == seen[-1][1] == seen[-1][2]
    assert {label for label, _, _ in seen} == {"dev"}
    assert score.bytes == len(tokens_N) - 1


def test_a_stage_may_ask_for_the_tokens_vectors():
    model = tiny_model()
    found_VD = embedding_of(model)
    assert np.array_equal(found_VD, model.state_dict()["embedding"].double().numpy())


def test_rows_that_are_distributions_are_claimed_for_what_they_cost():
    score = score_stream(evaluation(ngram=counts(), mixer=mean()), stream("abc déf " * 12), split="dev", subset=True)
    assert score.sum_p_mean == pytest.approx(1, abs=1e-6) and score.sum_p_max == pytest.approx(1, abs=1e-5)
    assert (score.side_bits, score.claimed_bpb) == (0.0, score.val_bpb)
    assert score.renormalised_bpb == pytest.approx(score.val_bpb, abs=1e-6)


def test_a_score_names_each_technique_and_what_it_is_made_of():
    ngram = {"_target_": "pgolf.ngram.packed.PackedCounts", "of": {"_target_": "pgolf.ngram.neighbours.Neighbours"}}
    settings = {
        "ngram": ngram,
        "mixer": {"_target_": "pgolf.mixer.tree.Tree", "rate": 1},
        "ttt": {"_target_": "pgolf.ttt.none.NoAdaptation"},
    }
    assert names_beside(settings) == ("packed", "neighbours", "tree")
    assert names_beside(settings | {"ngram": ngram | {"of": {"_target_": "pgolf.ngram.none.NoNGram"}}}) == (
        "packed",
        "tree",
    )
    named = dataclasses.replace(evaluation(ngram=counts(), mixer=mean()), beside=names_beside(settings))
    score = score_stream(named, stream("abc déf " * 12), split="dev", subset=True)
    assert score.method == "sliding+packed+neighbours+tree"


def test_counts_and_mixer_are_in_the_score():
    """The first row by hand: the network's and a uniform one, half and half."""
    model, tokens_N = Bigram(TOKENIZER.vocab_size), stream("a")
    score = score_stream(
        evaluation(network=FixedNetwork(model), ngram=counts(), mixer=mean()), tokens_N, split="dev", subset=True
    )
    p = model.table.detach().softmax(-1).numpy()[tokens_N[0], tokens_N[1]]
    assert score.val_loss == pytest.approx(-math.log((p + 1 / TOKENIZER.vocab_size) / 2), abs=1e-6)


def test_rows_that_sum_to_more_than_one_are_told_and_cost_more_once_they_are_divided_by_it():
    score = record([1.0, 2.0, 3.0], [1.0, 4.0, 1.0])
    assert (score.sum_p_mean, score.sum_p_max) == (2.0, 4.0)
    assert score.claimed_bpb == score.val_bpb == pytest.approx(6 / math.log(2) / 3)
    assert score.renormalised_bpb == pytest.approx((6 / math.log(2) + 2) / 3)


def test_what_a_decoder_must_be_told_besides_counts_into_the_score_and_not_into_the_claim():
    plain, charged = record([1.0, 2.0, 3.0], [1.0, 2.0, 1.0]), record([1.0, 2.0, 3.0], [1.0, 2.0, 1.0], side_bits=9.0)
    assert charged.side_bits == 9.0
    assert charged.val_bpb == pytest.approx(plain.val_bpb + 9 / 3)
    assert charged.renormalised_bpb == pytest.approx(plain.renormalised_bpb + 9 / 3)
    assert charged.val_loss == pytest.approx(plain.val_loss + 9 * math.log(2) / 3)
    assert charged.claimed_bpb == plain.claimed_bpb == plain.val_bpb


def test_loss_and_bits_per_byte_say_the_same():
    score = record([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], side_bits=9.0, target_bytes_N=np.array([2, 0, 5]))
    assert score.val_bpb * score.bytes * math.log(2) == pytest.approx(score.val_loss * score.tokens)
    assert score.val_bpb == bits_per_byte(np.array([1.0, 2.0, 3.0]), np.array([2, 0, 5]), 9.0)


class InLanes(Sliding):
    def plan(self, facts):
        return Lanes(facts.targets, (0, 5, 9), self.window, self.stride)


def test_a_plans_side_bits_are_in_the_score():
    lanes = InLanes(**NUMBERS)
    tokens_N = stream("abc def ghi jkl")
    score = score_stream(evaluation(method=lanes), tokens_N, split="dev", subset=True)
    assert score.side_bits == 32.0
    assert score.val_bpb == pytest.approx(score.claimed_bpb + 32 / score.bytes)
    # A bigram has no context to lose by the lanes.
    assert score.claimed_bpb == pytest.approx(score_stream(evaluation(), tokens_N, split="dev", subset=True).val_bpb)


def test_nothing_is_shared_between_two_evaluators():
    network = Counting(TOKENIZER.vocab_size)
    recipe = evaluation(network=network, ngram=counts(), mixer=mean())
    first, second = recipe.evaluator(20), recipe.evaluator(20)
    assert len({id(network), id(first.network), id(second.network)}) == 3
    tokens_N = stream("abc " * 12)
    scores = [score_stream(recipe, tokens_N, split="dev", subset=True) for _ in range(2)]
    assert scores[0].val_loss == scores[1].val_loss  # the first left nothing behind
    assert network.calls == []


def test_techniques_are_told_the_facts_of_the_stream():
    seen = []

    class Wrapping(NoAdaptation):
        def wrap(self, network, facts):
            seen.append(facts)
            return network

    evaluator = evaluation(ttt=Wrapping(), workers=3).evaluator(20)
    assert seen == [evaluator.facts]
    assert (evaluator.facts.vocab_size, evaluator.facts.bos_id) == (TOKENIZER.vocab_size, TOKENIZER.bos_id)
    assert (evaluator.facts.stream_tokens, evaluator.facts.targets) == (20, 19)
    assert (evaluator.facts.device, evaluator.facts.workers, evaluator.facts.lanes) == ("cpu", 3, 1)
    with_lanes = evaluation(ttt=Wrapping(), method=InLanes(**NUMBERS)).evaluator(20)
    assert seen[1:] == [with_lanes.facts] and with_lanes.facts.lanes == len(with_lanes.plan.lane_starts) == 3


def test_experts_that_nobody_mixes_are_refused():
    with pytest.raises(ConfigError, match="cannot combine it with 1 more"):
        evaluation(ngram=counts()).evaluator(20)


def test_streams_that_cannot_be_scored_are_data_errors():
    with pytest.raises(DataError, match="two are the least"):
        evaluation().stream(np.array([1], dtype=np.uint16))
    with pytest.raises(DataError, match="two are the least"):
        evaluation().evaluator(1)
    with pytest.raises(DataError, match="token id 999 lies outside the vocabulary of 260"):
        evaluation().stream(np.array([1, 999], dtype=np.uint16))
    with pytest.raises(DataError, match="token id 260 lies outside"):
        score_stream(evaluation(), np.array([1, 260], dtype=np.uint16), split="dev", subset=True)


def test_a_stream_is_scored_whole_unless_the_method_truncates():
    tokens_N = stream("x" * 40)
    assert evaluation().stream(tokens_N) is tokens_N


def test_published_truncation_is_refused_with_the_raw_metric():
    with pytest.raises(ConfigError, match="official_truncation"):
        evaluation_of(Bigram(TOKENIZER.vocab_size), TOKENIZER, method(official_truncation=True))


def test_published_truncation_cuts_the_stream():
    class Table(ByteTokenizer):
        metric = "table"

    truncating = evaluation_of(Bigram(TOKENIZER.vocab_size), Table(), method(official_truncation=True))
    assert len(truncating.stream(stream("x" * 40))) == 33
    with pytest.raises(DataError, match="1 usable tokens"):
        truncating.stream(stream("x" * 15))
    assert score_stream(truncating, stream("x" * 40), split="dev", subset=True).tokens == 32


@pytest.mark.parametrize(("nll_nats", "sums"), [([1.0, np.nan], [1.0, 1.0]), ([1.0, np.inf], [1.0, 1.0])])
def test_a_target_without_a_score_makes_no_score(nll_nats, sums):
    with pytest.raises(ValueError, match="position 1 has no finite score"):
        record(nll_nats, sums)


def test_given_byte_counts_replace_the_tokenizers_up_to_the_end_of_the_stream():
    tokens_N = stream("abcdefgh")
    own = score_stream(evaluation(), tokens_N, split="dev", subset=False)
    given = score_stream(evaluation(), tokens_N, split="dev", subset=False, target_bytes_N=np.full(99, 2))
    assert (own.bytes, given.bytes) == (8, 16)
    assert given.val_bpb == pytest.approx(own.val_bpb / 2)
    with pytest.raises(DataError, match="byte counts for 7 targets; the stream has 8"):
        score_stream(evaluation(), tokens_N, split="dev", subset=False, target_bytes_N=np.full(7, 2))
    assert byte_counts(evaluation(), tokens_N).tolist() == [1] * 8
