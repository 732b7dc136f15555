"""Reading a stretch from bytes, without a process: the judge's side of it."""

import dataclasses

import numpy as np
import pytest

from pgolf.eval.coder import Enough
from pgolf.eval.sealed import Refused
from pgolf.proof.decoding import DecodingJudge
from pgolf.proof.range_coder import RangeReader, RangeWriter
from tests.proof.making import context_of, network_evaluation, pretend_decoding

V = 8
TOKENS = np.arange(101) * 3 % V
ROWS = np.random.default_rng(0).dirichlet(np.ones(V), 100).astype("<f4")


def judge(stretch, data=None):
    if data is None:
        writer = RangeWriter()
        for place in stretch:
            writer.write(int(TOKENS[place + 1]), ROWS[place])
        data = writer.data()
    made = DecodingJudge(TOKENS, stretch, RangeReader(data), V)
    made.answer({"ready": True, "lane_starts": [0], "side_bits": 0.0}, b"")
    return made


def ask(made, start, stop):
    return made.answer({"ask": [0, start, stop]}, b"").tolist()


def test_what_lies_before_the_stretch_is_told_and_in_it_what_the_bytes_say():
    made, told = judge(range(60, 64)), []
    made.progress = lambda label, done, total: told.append((label, done / total))
    assert ask(made, 0, 100) == TOKENS[1:61].tolist()
    assert told == [("decode", 60 / 64)]
    for place in range(60, 64):
        assert ask(made, 0, 100) == TOKENS[1 : place + 1].tolist()
        assert made.answer({"row": place}, ROWS[place].tobytes()).tolist() == [TOKENS[place + 1]]
    with pytest.raises(Enough):
        ask(made, 0, 100)
    assert made.decoded == 4 and told[-1] == ("decode", 1.0)


@pytest.mark.parametrize("place", [59, 61, 0, 99])
def test_only_the_row_that_is_due_is_taken(place):
    made = judge(range(60, 64))
    ask(made, 0, 100)
    with pytest.raises(Refused, match=f"position {place}"):
        made.answer({"row": place}, ROWS[60].tobytes())


def test_a_row_before_the_stretch_is_not_taken():
    made = judge(range(60, 64))
    ask(made, 0, 8)
    with pytest.raises(Refused, match="position 8"):
        made.answer({"row": 8}, ROWS[8].tobytes())


def test_rows_other_than_those_that_wrote_it_decode_to_something_else():
    made = judge(range(20, 60))
    ask(made, 0, 100)
    with pytest.raises(Refused, match="decodes to another token"):
        for place in range(20, 60):
            made.answer({"row": place}, ROWS[place - 1].tobytes())


def test_an_evaluation_that_learns_nothing_of_the_future_decodes_its_own_stretch():
    context = context_of(network_evaluation(), stretch_tokens=60)
    assert context.decoding.decoded == len(context.decoding.stretch) == 60
    claimed = context.sealed.nll_nats_N[context.audit.stretch.start : context.audit.stretch.stop].sum() / np.log(2)
    assert claimed <= 8 * context.decoding.coded_bytes <= claimed + 48


def test_bytes_that_were_altered_do_not_decode():
    context = context_of(network_evaluation(), stretch_tokens=60)
    altered = bytes([context.audit.coded[0] ^ 255]) + context.audit.coded[1:]
    with pytest.raises((Refused, AssertionError)):
        pretend_decoding(context.terms, context.tokens_N, dataclasses.replace(context.audit, coded=altered))
