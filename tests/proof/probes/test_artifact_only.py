import dataclasses

from pgolf.eval.sealed import Violation
from pgolf.proof.probes import artifact_only
from tests.proof.making import context_of, network_evaluation


def changed(**changes):
    context = context_of(network_evaluation())
    return dataclasses.replace(context, sealed=dataclasses.replace(context.sealed, **changes))


def test_equal_scores_and_no_refusal_pass():
    result = artifact_only.probe(changed(), seconds=5)
    assert result.passed, result.message
    assert result.measured["largest_token_difference_nats"] == 0


def test_a_refused_access_is_named():
    violations = (Violation("access", "open", "/data/val.bin"),)
    result = artifact_only.probe(changed(violations=violations), seconds=5)
    assert not result.passed
    assert "refused open of /data/val.bin" in result.message


def test_tokens_revealed_too_early_are_caught():
    stream = len(context_of(network_evaluation()).tokens_N)
    result = artifact_only.probe(changed(reveals=((stream, stream - 1),)), seconds=5)
    assert not result.passed
    assert "unscored tokens" in result.message


def test_another_score_or_another_artifact_is_caught():
    context = context_of(network_evaluation())
    result = artifact_only.probe(changed(nll_nats_N=context.sealed.nll_nats_N - 1e-4), seconds=5)
    assert "scores a chunk differently" in result.message
    other = changed(facts={"working_directory_entries": 0, "artifact_sha256": "another"})
    assert "hash another" in artifact_only.probe(other, seconds=5).message
