"""Documents apart. The references know one document at a time and nothing of lanes.

Shapes: N tokens of the stream, V vocabulary.
"""

import dataclasses

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts
from pgolf.eval.coder import Informed
from pgolf.eval.decoder import Decoder
from pgolf.eval.documents import DocumentsApart
from pgolf.eval.encoder import Encoder
from pgolf.eval.evaluation import score_stream
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.sampler import Sampler, sample_text
from pgolf.eval.scorer import Scorer
from pgolf.eval.sliding import Sliding
from pgolf.proof.codec import decode, encode, rows_print
from tests.eval.fakes import Bigram, Notes
from tests.eval.kernels import blend, unigram
from tests.helpers import BOS, VOCAB, randomise, tiny_model
from tests.proof.making import (
    network_evaluation,
    pretend_audit,
    pretend_decoding,
    pretend_sealed,
    stream_of,
)
from tests.ttt.making import sgd

WINDOW, STRIDE = 24, 8
LENGTHS = [30, 5, 0, 41, 7, 16, 23]  # of texts; those of 7 and 23 end with their stride


@pytest.fixture(scope="module")
def model():
    made = tiny_model("arch.layers=2").eval().requires_grad_(False)
    randomise(made)
    return made


def texts(lengths=LENGTHS, vocab_size=VOCAB, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(2, vocab_size, length).astype(np.uint16) for length in lengths]


def joined(found):
    return np.concatenate([[BOS, *text] for text in found]).astype(np.uint16)


def documents(beside=3, window=WINDOW, stride=STRIDE, order="stream", batch_windows=2):
    return DocumentsApart(
        window=window,
        stride=stride,
        batch_documents=beside,
        batch_windows=batch_windows,
        order=order,
        official_truncation=False,
    )


def evaluator_of(network, tokens_N, stages=0, vocab_size=VOCAB, workers=1, **how):
    facts = Facts(vocab_size, BOS, len(tokens_N), workers=workers)
    plan = documents(**how).plan(facts)
    lanes = len(plan.lane_starts)
    return Evaluator(network, plan, facts, [unigram(vocab_size, lanes), blend(experts=1)][:stages])


def scored(evaluator, tokens_N):
    scorer = Scorer(tokens_N, evaluator.plan.lane_starts)
    evaluator.run(scorer, scorer.first_tokens)
    return scorer.nll_nats.values_N


class Stopping(Informed):
    """Like a decoder at the places ``stops`` of the stream; ``row`` by place, of all that were wanted."""

    def __init__(self, tokens_N, stops, lane_starts):
        super().__init__(tokens_N, lane_starts)
        self.stops, self.row = set(stops), {}

    def known(self, block):
        first = int(self._lane_starts[block.lane])
        ahead = [p for p in range(first + block.start, first + block.stop) if p in self.stops - set(self.row)]
        return self._tokens_N[first + block.start + 1 : (ahead or [first + block.stop])[0] + 1]

    def settle(self, place_I, rows, token_I):
        places = self.in_stream(place_I)
        assert np.array_equal(token_I, self._tokens_N[places + 1])
        self.row |= {int(place): rows.row(index).copy() for index, place in enumerate(places)}

    def draw(self, place, row_V):
        (where,) = self.in_stream(np.array([place])).tolist()
        assert where in self.stops and where not in self.row, "asked where it has told, or twice"
        self.row[where] = row_V.copy()
        return int(self._tokens_N[where + 1])


def stopped(evaluator, tokens_N, stops):
    coder = Stopping(tokens_N, stops, evaluator.plan.lane_starts)
    tape = evaluator.run(coder, coder.first_tokens)
    assert np.array_equal(tape.stream(), tokens_N[1:])
    return coder.row


# --- what a document is predicted from ----------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [1, 3, 9])
def test_each_document_is_scored_as_sliding_windows_over_it_alone_score_it(model, beside):
    found, expected = texts(), []
    for number, text in enumerate(found):
        alone_N = np.array([BOS, *text, *([BOS] if number < len(found) - 1 else [])], dtype=np.uint16)
        facts = Facts(VOCAB, BOS, len(alone_N))
        method = Sliding(window=WINDOW, stride=STRIDE, batch_windows=2, lanes=1, official_truncation=False)
        expected.append(scored(Evaluator(FixedNetwork(model), method.plan(facts), facts), alone_N))
    tokens_N = joined(found)
    got = scored(evaluator_of(FixedNetwork(model), tokens_N, beside=beside, workers=2), tokens_N)
    np.testing.assert_allclose(got, np.concatenate(expected), atol=1e-5)


def test_a_stride_that_does_not_divide_the_window_slides_by_the_same_rule(model):
    text, stride = texts([61])[0], 7
    tokens_N, expected = joined([text]), []
    for position in range(len(tokens_N) - 1):
        stop = (position // stride + 1) * stride
        seen = torch.as_tensor(tokens_N[max(0, stop - WINDOW) : position + 1].astype(np.int64))[None]
        expected.append(-model.logits(seen).float().log_softmax(-1)[0, -1, int(tokens_N[position + 1])].item())
    got = scored(evaluator_of(FixedNetwork(model), tokens_N, stride=stride), tokens_N)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    told = stopped(evaluator_of(FixedNetwork(model), tokens_N, stride=stride), tokens_N, [0, 6, 7, 23, 30, 59])
    rows = stopped(evaluator_of(FixedNetwork(model), tokens_N, stride=stride), tokens_N, ())
    assert all(np.array_equal(told[place], rows[place]) for place in told)


def test_one_after_the_other_equals_each_as_a_stream_of_its_own_to_the_bit(model):
    found = texts()
    tokens_N, streams = joined(found), [np.array([BOS, *text, BOS], dtype=np.uint16) for text in found[:-1]]
    alone = [scored(evaluator_of(FixedNetwork(model), some_N, beside=1), some_N) for some_N in streams]
    for beside in (1, 3):
        got = scored(evaluator_of(FixedNetwork(model), tokens_N, beside=beside), tokens_N)
        assert np.array_equal(got[: len(tokens_N) - 1 - LENGTHS[-1]], np.concatenate(alone))


def test_no_other_document_and_no_later_token_and_no_length_changes_a_row(model):
    found = texts()
    rows = stopped(evaluator_of(FixedNetwork(model), joined(found)), joined(found), ())
    others = [text if number == 3 else text[::-1][: len(text) // 2] for number, text in enumerate(found)]
    others[3] = np.concatenate([found[3][:21], [7, 9]]).astype(np.uint16)
    other_rows = stopped(evaluator_of(FixedNetwork(model), joined(others)), joined(others), ())
    first, other_first = len(joined(found[:3])), len(joined(others[:3]))
    assert first != other_first
    assert all(np.array_equal(rows[first + at], other_rows[other_first + at]) for at in range(22))
    assert not np.array_equal(rows[first + 23], other_rows[other_first + 23])


# --- one token after its row --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["stream", "longest_first"])
@pytest.mark.parametrize("stages", [0, 2])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_rows_that_score_it(stages, order):
    tokens_N = joined(texts(vocab_size=11))
    for beside in (1, 3, 9):
        given = {"stages": stages, "vocab_size": 11, "beside": beside, "order": order}

        def made(given=given):
            return evaluator_of(FixedNetwork(Bigram(11)), tokens_N, **given)

        rows = stopped(made(), tokens_N, ())
        assert sorted(rows) == list(range(len(tokens_N) - 1))
        ends = np.flatnonzero(tokens_N[1:] == BOS).tolist()
        for stops in (range(len(tokens_N) - 1), ends, [end - 1 for end in ends], [3, 40, 41, 90]):
            told = stopped(made(), tokens_N, stops)
            assert set(stops) <= set(told) and all(np.array_equal(told[p], rows[p]) for p in told)


def test_also_by_a_model_with_a_window(model):
    tokens_N = joined(texts())
    rows = stopped(evaluator_of(FixedNetwork(model), tokens_N), tokens_N, ())
    told = stopped(evaluator_of(FixedNetwork(model), tokens_N, workers=2), tokens_N, [0, 29, 30, 36, 60, 100, 125])
    assert len(told) > 7 and all(np.array_equal(told[p], rows[p]) for p in told)


@pytest.mark.parametrize("order", ["stream", "longest_first"])
@pytest.mark.parametrize("lengths", [LENGTHS, [5], [9, 0], [0, 0, 0, 4]], ids=str)
def test_who_knows_no_token_reads_the_stream_in_its_own_order(lengths, order):
    tokens_N = joined(texts(lengths, vocab_size=11))
    for beside in (1, 2, 5):
        evaluator = evaluator_of(FixedNetwork(Bigram(11)), tokens_N, 2, 11, beside=beside, order=order)
        notes = Notes()
        encoder = Encoder(tokens_N, notes, evaluator.plan.lane_starts)
        evaluator.fork().run(encoder, encoder.first_tokens)
        tape = evaluator.run(Decoder(notes), encoder.first_tokens)
        assert np.array_equal(tape.stream(), tokens_N[1:])


@pytest.mark.parametrize("order", ["stream", "longest_first"])
def test_a_stream_comes_back_through_bytes_and_what_is_told_beside_them(order):
    tokens_N = joined(texts(vocab_size=11))
    evaluator = evaluator_of(FixedNetwork(Bigram(11)), tokens_N, 2, 11, order=order)
    told = Informed(tokens_N, evaluator.plan.lane_starts).first_tokens
    assert len(rows_print(evaluator, told)) == 8
    body = encode(evaluator.fork(), tokens_N)
    assert np.array_equal(decode(evaluator, told, body), tokens_N[1:])


def test_what_adapts_in_chunks_does_so_inside_documents(model):
    """Two strides a chunk; the unfinished end of a document is not trained on, and the weights go on to the next."""
    tokens_N, ttt = joined([np.resize(text[:7], len(text)) for text in texts()]), sgd(chunk_tokens=2 * STRIDE, window=8)

    def made(ttt, beside=3):
        facts = Facts(VOCAB, BOS, len(tokens_N), lanes=beside, apart=True)
        return Evaluator(ttt.wrap(FixedNetwork(model), facts), documents(beside).plan(facts), facts)

    rows, fixed = stopped(made(ttt), tokens_N, ()), stopped(made(sgd(lr=0.0)), tokens_N, ())
    short = LENGTHS[0] + 1 + np.arange(LENGTHS[1] + 1)
    assert all(np.array_equal(rows[p], fixed[p]) for p in [*range(2 * STRIDE), *short])
    assert not np.array_equal(rows[2 * STRIDE], fixed[2 * STRIDE])
    told = stopped(made(ttt), tokens_N, [15, 16, 30, 60, 100, 125])
    assert len(told) > 6 and all(np.array_equal(told[p], rows[p]) for p in told)
    evaluator = made(ttt, beside=1)
    scored(evaluator, tokens_N)
    assert evaluator.network._trained == sum((length + 1) // (2 * STRIDE) for length in LENGTHS)


# --- its proof ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["stream", "longest_first"])
def test_it_passes_the_audit_and_a_stretch_of_it_is_decoded(order):
    evaluation = network_evaluation(method=documents(2, 16, 8, order))
    tokens_N = stream_of(evaluation, ["The boats lie on the sand.", "Ein kurzer Text", "", "one two three four"])
    sealed = pretend_sealed(evaluation, tokens_N)
    assert sorted(sealed.place_I) == list(range(len(tokens_N) - 1))
    audit = pretend_audit(evaluation, tokens_N, sealed, places=20, stretch_tokens=12)
    assert audit.complete and audit.largest < 1e-5 and audit.planned >= 20
    decoding = pretend_decoding(evaluation, tokens_N, audit, place_I=sealed.place_I)
    assert decoding.decoded == 12


def test_what_a_decoder_is_told_counts_into_the_score():
    evaluation = network_evaluation(method=documents(1, 16, 8))
    tokens_N = stream_of(evaluation)
    alone = score_stream(evaluation, tokens_N, split="dev", subset=False)
    several = score_stream(
        dataclasses.replace(evaluation, method=documents(3, 16, 8)), tokens_N, split="dev", subset=False
    )
    assert alone.side_bits == 0 and several.side_bits == 2 * (len(tokens_N) - 2).bit_length()
    assert several.claimed_bpb == pytest.approx(alone.claimed_bpb, abs=1e-9)
    assert several.val_bpb == pytest.approx(alone.val_bpb + several.side_bits / several.bytes, abs=1e-9)


def test_a_stride_longer_than_the_window_is_a_config_error():
    with pytest.raises(ConfigError, match=r"eval\.stride: 9 is more than the window of 8"):
        documents(window=8, stride=9)


@pytest.mark.parametrize("order", ["stream", "longest_first"])
def test_a_sample_goes_on_with_documents_of_its_own_after_its_prompt(order):
    """5 is followed by BOS, BOS by 7, 7 by 5."""
    network, drawn = Bigram(11), []
    with torch.no_grad():
        for before, after in ((5, BOS), (BOS, 7), (7, 5)):
            network.table[before, after] = 9.0
    evaluator = evaluator_of(FixedNetwork(network), np.zeros(11), vocab_size=11, beside=1, order=order)
    tape = evaluator.run(Sampler(np.array([3, 5]), 0.0, 0, drawn.append), [])
    assert drawn == [BOS, 7, 5, BOS, 7, 5, BOS, 7] and tape.stream().tolist() == [3, 5, *drawn]


def test_text_is_made_up_as_by_any_other_plan():
    evaluation = network_evaluation(method=documents(3, 16, 8, "longest_first"))
    assert sample_text(evaluation, "abc", 8, 0.0, seed=0).startswith("abc")
