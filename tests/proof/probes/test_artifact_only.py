import dataclasses

import pytest

from pgolf.eval.sealed import Violation
from pgolf.proof.probes import artifact_only
from tests.proof.making import context_of, network_evaluation, pretend_audit


@pytest.fixture(scope="module")
def context():
    return context_of(network_evaluation())


def test_no_refusal_passes(context):
    result = artifact_only.probe(context)
    assert result.passed, result.message


def test_a_refused_access_is_named_whichever_process_asked(context):
    violations = (Violation("access", "open", "/data/val.bin"),)
    scoring = dataclasses.replace(context, sealed=dataclasses.replace(context.sealed, violations=violations))
    assert "the sealed process was refused open of /data/val.bin" in artifact_only.probe(scoring).message
    audit = pretend_audit(context.terms, context.tokens_N, context.sealed, places=3, violations=violations)
    result = artifact_only.probe(dataclasses.replace(context, audit=audit))
    assert not result.passed and "the audited process was refused open of /data/val.bin" in result.message


def test_another_artifact_and_a_folder_with_something_in_it_are_caught(context):
    facts = {"working_directory_entries": 1, "artifact_sha256": "another"}
    result = artifact_only.probe(dataclasses.replace(context, sealed=dataclasses.replace(context.sealed, facts=facts)))
    assert "hash another" in result.message and "held 1 entries" in result.message
