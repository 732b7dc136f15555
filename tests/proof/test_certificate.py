import json

from pgolf.proof.certificate import certify
from tests.eval.stages import counts, mean
from tests.proof.making import context_of, network_evaluation


def certificate_of(evaluation, **changes):
    return certify(context_of(evaluation, **{"stretch_tokens": 30} | changes))


def test_fixed_network_is_track_a_and_passes_all_probes():
    certificate = certificate_of(network_evaluation())
    assert certificate.passed, certificate.failed
    assert certificate.track == "A"
    assert [probe.letter for probe in certificate.probes] == list("abcdefg")


def test_stages_that_learn_at_every_token_are_track_b_and_pass_all_probes():
    certificate = certificate_of(network_evaluation(ngram=counts(), mixer=mean()))
    assert certificate.passed, certificate.failed
    assert certificate.track == "B"


def test_a_stream_of_a_few_tokens_can_be_certified():
    certificate = certificate_of(network_evaluation(), cut=20)
    assert certificate.passed, certificate.failed


def test_certificate_is_plain_json():
    text = json.dumps(certificate_of(network_evaluation()).as_dict(), allow_nan=False)
    assert json.loads(text)["profile"] == "raw"
