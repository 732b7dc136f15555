import math

import numpy as np
import pytest

from pgolf.core.errors import ConfigError, DataError
from pgolf.eval.evaluation import evaluation_of, make_score, score_stream
from pgolf.eval.sliding import Sliding
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.eval.fakes import Bigram

TOKENIZER = ByteTokenizer()


def method(**changes):
    numbers = {
        "window": 16,
        "stride": 4,
        "chunk_tokens": 32,
        "batch_windows": 3,
        "official_truncation": False,
    }
    return Sliding(**(numbers | changes))


def stream(text):
    return np.concatenate([[TOKENIZER.bos_id], TOKENIZER.encode(text)]).astype(np.uint16)


def test_score_of_a_live_model():
    model = Bigram(TOKENIZER.vocab_size)
    tokens_N = stream("abc déf " * 12)
    seen = []
    score = score_stream(
        evaluation_of(model, TOKENIZER, method()),
        tokens_N,
        split="dev",
        subset=True,
        progress=lambda _, done, total: seen.append((done, total)),
    )
    logp = model.table.detach().log_softmax(-1).double().numpy()
    nll_nats = -logp[tokens_N[:-1], tokens_N[1:]]
    assert score.val_loss == pytest.approx(nll_nats.mean(), abs=1e-6)
    assert score.val_bpb == pytest.approx(nll_nats.sum() / math.log(2) / len(("abc déf " * 12).encode()), abs=1e-6)
    assert (score.split, score.subset, score.method, score.metric) == ("dev", True, "sliding", "raw")
    assert score.tokens == len(tokens_N) - 1 == seen[-1][0] == seen[-1][1]
    assert score.bytes == len(tokens_N) - 1


def test_nothing_is_shared_between_two_evaluators():
    evaluation = evaluation_of(Bigram(TOKENIZER.vocab_size), TOKENIZER, method())
    first, second = evaluation.evaluator(20), evaluation.evaluator(20)
    assert first.experts[0] is not second.experts[0]


def test_streams_that_cannot_be_scored_are_data_errors():
    evaluation = evaluation_of(Bigram(TOKENIZER.vocab_size), TOKENIZER, method())
    with pytest.raises(DataError, match="two are the least"):
        evaluation.stream(np.array([1], dtype=np.uint16))
    with pytest.raises(DataError, match="token id 999 lies outside the vocabulary of 260"):
        evaluation.stream(np.array([1, 999], dtype=np.uint16))


def test_published_truncation_is_refused_with_the_raw_metric():
    with pytest.raises(ConfigError, match="official_truncation"):
        evaluation_of(Bigram(TOKENIZER.vocab_size), TOKENIZER, method(official_truncation=True))


def test_published_truncation_cuts_the_stream():
    class Table(ByteTokenizer):
        metric = "table"

    evaluation = evaluation_of(Bigram(TOKENIZER.vocab_size), Table(), method(official_truncation=True))
    assert len(evaluation.stream(stream("x" * 40))) == 33


def test_a_target_without_a_score_makes_no_score():
    evaluation = evaluation_of(Bigram(TOKENIZER.vocab_size), TOKENIZER, method())
    nll_nats = np.array([1.0, np.nan])
    with pytest.raises(ValueError, match="no finite score"):
        make_score(evaluation, stream("ab"), nll_nats, split="val", subset=False, seconds=1.0, valid=True)


def test_given_byte_counts_replace_the_tokenizers_up_to_the_end_of_the_stream():
    evaluation = evaluation_of(Bigram(TOKENIZER.vocab_size), TOKENIZER, method())
    tokens_N = stream("abcdefgh")
    own = score_stream(evaluation, tokens_N, split="dev", subset=False)
    given = score_stream(evaluation, tokens_N, split="dev", subset=False, target_bytes_N=np.full(99, 2))
    assert (own.bytes, given.bytes) == (8, 16)
    assert given.val_bpb == pytest.approx(own.val_bpb / 2)
    with pytest.raises(DataError, match="byte counts for 7 targets; the stream has 8"):
        score_stream(evaluation, tokens_N, split="dev", subset=False, target_bytes_N=np.full(7, 2))
