import json

import numpy as np

from pgolf.proof.certificate import certify
from pgolf.proof.cheats.wrapped import WrappedExpert
from tests.eval.fakes import Average, Counting
from tests.proof.making import DOCUMENTS, context_of, network_evaluation


def certificate_of(evaluation, **changes):
    context = context_of(evaluation, **changes)
    return certify(evaluation, context.tokens_N, context.sealed, context.reported, probe_seconds=3, documents=DOCUMENTS)


def test_fixed_network_is_track_a_and_passes_all_probes():
    certificate = certificate_of(network_evaluation())
    assert certificate.passed, certificate.failed
    assert certificate.track == "A"
    assert [probe.letter for probe in certificate.probes] == list("abcdef")


def test_learning_experts_and_mixer_are_track_b_and_pass_all_probes():
    certificate = certificate_of(network_evaluation(Counting(260), mixer=Average()))
    assert certificate.passed, certificate.failed
    assert certificate.track == "B"


def test_a_stream_of_one_short_chunk_can_be_certified():
    certificate = certificate_of(network_evaluation(), cut=20)
    assert certificate.passed, certificate.failed


def test_certificate_is_plain_json():
    text = json.dumps(certificate_of(network_evaluation()).as_dict(), allow_nan=False)
    assert json.loads(text)["profile"] == "raw"


def test_an_evaluation_that_cannot_be_replayed_fails_every_probe():
    evaluation = network_evaluation()
    context = context_of(evaluation)

    class Broken(WrappedExpert):
        def log_probs(self, inputs_BT, keep):
            return super().log_probs(inputs_BT, keep) * np.nan

    certificate = certify(
        network_evaluation(Broken(evaluation.network)),
        context.tokens_N,
        context.sealed,
        context.reported,
        probe_seconds=1,
    )
    assert not certificate.passed
    assert "position 0 is not a number" in certificate.failed[0]


def test_given_byte_counts_reach_the_coverage_probe():
    context = context_of(network_evaluation())
    doubled = 2 * context.evaluation.tokenizer.byte_lengths(context.tokens_N)
    certificate = certify(
        context.evaluation,
        context.tokens_N,
        context.sealed,
        context.reported,
        probe_seconds=1,
        target_bytes_N=doubled,
    )
    (coverage,) = [probe for probe in certificate.probes if probe.letter == "e"]
    assert f"the tokens carry {doubled.sum():,}" in coverage.message
