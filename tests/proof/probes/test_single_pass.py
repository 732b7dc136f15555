import dataclasses

from pgolf.eval.sealed import Violation
from pgolf.proof.probes import single_pass
from tests.proof.making import context_of, network_evaluation


def test_one_score_per_token_and_their_sum_passes():
    result = single_pass.probe(context_of(network_evaluation()), seconds=10)
    assert result.passed, result.message
    assert result.measured["predictions"] == result.measured["positions_counted"]


def test_a_report_that_is_not_the_sum_is_caught():
    context = context_of(network_evaluation())
    better = dataclasses.replace(context.reported, val_loss=context.reported.val_loss * 0.99)
    result = single_pass.probe(dataclasses.replace(context, reported=better), seconds=10)
    assert not result.passed
    assert "the slots hold" in result.message


def test_a_second_write_in_the_sealed_process_is_caught():
    context = context_of(network_evaluation())
    violation = Violation("double_score", "write", "position 7 was scored already")
    sealed = dataclasses.replace(context.sealed, violations=(violation,))
    result = single_pass.probe(dataclasses.replace(context, sealed=sealed), seconds=10)
    assert not result.passed
    assert "position 7" in result.message
