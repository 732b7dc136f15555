import dataclasses

import pytest

from pgolf.eval.sealed import Violation
from pgolf.proof.probes import single_pass
from tests.proof.making import context_of, network_evaluation


@pytest.fixture(scope="module")
def context():
    return context_of(network_evaluation())


def test_one_score_per_token_and_their_sum_passes(context):
    result = single_pass.probe(context)
    assert result.passed, result.message
    assert result.measured["slots_written"] == len(context.tokens_N) - 1


@pytest.mark.parametrize("number", ["val_loss", "val_bpb"])
def test_a_report_that_is_not_the_sum_is_caught(context, number):
    better = dataclasses.replace(context.reported, **{number: getattr(context.reported, number) * 0.99})
    result = single_pass.probe(dataclasses.replace(context, reported=better))
    assert not result.passed
    assert "the slots hold" in result.message


@pytest.mark.parametrize(
    ("violation", "said"),
    [
        (Violation("double_score", "write", "position 7 was scored already"), "scored twice: position 7"),
        (Violation("out_of_turn", "score", "asked for the targets 9 to 12 of lane 0 out of turn"), "out of turn"),
    ],
)
def test_a_second_write_and_a_question_out_of_turn_are_caught(context, violation, said):
    sealed = dataclasses.replace(context.sealed, violations=(violation,))
    result = single_pass.probe(dataclasses.replace(context, sealed=sealed))
    assert not result.passed and said in result.message


def test_side_bits_are_part_of_the_sum(context):
    sealed = dataclasses.replace(context.sealed, side_bits=48.0)
    assert not single_pass.probe(dataclasses.replace(context, sealed=sealed)).passed
