import dataclasses

import numpy as np
import pytest

from pgolf.eval.sealed import Violation
from pgolf.proof.probes import decodes
from tests.proof.making import context_of, network_evaluation


@pytest.fixture(scope="module")
def context():
    return context_of(network_evaluation(), stretch_tokens=60)


def with_decoding(context, **changes):
    return dataclasses.replace(context, decoding=dataclasses.replace(context.decoding, **changes))


def test_an_honest_evaluation_decodes_within_its_scores(context):
    result = decodes.probe(context)
    assert result.passed, result.message
    assert result.measured["decoded"] == result.measured["tokens"] == 60
    assert result.measured["claimed_bits"] <= 8 * result.measured["coded_bytes"] <= result.measured["claimed_bits"] + 48
    assert "60 tokens from" in result.message


def test_scores_that_say_less_than_the_bytes_are_none(context):
    cheap = dataclasses.replace(context.sealed, nll_nats_N=context.sealed.nll_nats_N * 0.8)
    result = decodes.probe(dataclasses.replace(context, sealed=cheap))
    assert not result.passed and "their scores say" in result.message


def test_tokens_that_are_missing_are_no_proof(context):
    result = decodes.probe(with_decoding(context, decoded=59))
    assert not result.passed and "59 of 60 tokens were decoded" in result.message


def test_a_process_that_broke_off_says_why(context):
    violation = Violation("out_of_turn", "audit", "position 7 decodes to another token, 3 tokens into the stretch")
    run = dataclasses.replace(context.decoding.run, violations=(violation,))
    result = decodes.probe(with_decoding(context, run=run))
    assert not result.passed and "decodes to another token" in result.message


def test_what_was_not_tried_is_not_proved(context):
    assert not decodes.probe(dataclasses.replace(context, decoding=None)).passed


def test_the_allowance_is_small_beside_a_score(context):
    tokens = len(context.decoding.stretch)
    assert decodes.TOKEN_BITS * tokens + decodes.END_BITS < 0.25 * np.log2(260) * tokens
