"""Whatever predicts, however it is planned: who knows nothing makes the very rows of who knows all."""

import dataclasses

import numpy as np
import pytest

from pgolf.core.prediction import Facts, Span
from pgolf.eval.decoder import Decoder
from pgolf.eval.encoder import Encoder
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.sliding import Sliding
from tests.eval.fakes import Counting, Lanes, Notes
from tests.eval.stages import counts, mean
from tests.proof.making import network_evaluation, stream_of

TOKENS_N = stream_of(network_evaluation())[:150]
STAGES = {"network": {}, "counts and a mixer": {"ngram": counts(), "mixer": mean()}}


def method(lanes, window=32, stride=8):
    return Sliding(window=window, stride=stride, batch_windows=4, lanes=lanes, official_truncation=False)


def reads_what_was_written(evaluator, tokens_N):
    notes = Notes()
    encoder = Encoder(tokens_N, notes, evaluator.plan.lane_starts)
    evaluator.fork().run(encoder, encoder.first_tokens)
    assert len(notes.written) == len(tokens_N) - 1
    tape = evaluator.run(Decoder(notes), encoder.first_tokens)
    targets = np.concatenate([tape.revealed(lane) for lane in range(len(encoder.first_tokens))])
    assert np.array_equal(targets, tokens_N[1:])


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stages", list(STAGES))
def test_rows_without_the_future_are_those_that_were_written_to_the_bit(lanes, workers, stages):
    evaluation = network_evaluation(method=method(lanes), workers=workers, **STAGES[stages])
    reads_what_was_written(evaluation.evaluator(len(TOKENS_N)), TOKENS_N)


@pytest.mark.parametrize("cadence", [8, 16, 32])
@pytest.mark.parametrize("lane_starts", [(0,), (0, 37, 90)])
def test_a_network_that_learns_between_rounds_has_learnt_the_same(cadence, lane_starts):
    plan = Lanes(len(TOKENS_N) - 1, lane_starts, window=16, stride=8)
    facts = Facts(260, 1, len(TOKENS_N))
    reads_what_was_written(Evaluator(Counting(260, cadence), plan, facts), TOKENS_N)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_stream_of_hardly_any_tokens(count):
    evaluation = network_evaluation(method=method(lanes=4))
    reads_what_was_written(evaluation.evaluator(count), TOKENS_N[:count])


def test_it_knows_nothing_and_wants_no_row_that_it_does_not_draw():
    decoder = Decoder(Notes())
    assert len(decoder.known(Span(0, 0, 0, 4))) == 0 and not decoder.wants(Span(0, 0, 0, 4))


def test_other_weights_are_noticed_by_their_rows():
    evaluation = network_evaluation(method=method(1))
    notes = Notes()
    encoder = Encoder(TOKENS_N, notes)
    evaluation.evaluator(len(TOKENS_N)).run(encoder, encoder.first_tokens)
    other = dataclasses.replace(evaluation, **STAGES["counts and a mixer"])
    with pytest.raises(AssertionError, match="row 0 is another"):
        other.evaluator(len(TOKENS_N)).run(Decoder(notes), encoder.first_tokens)
