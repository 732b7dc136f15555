from dataclasses import replace

import numpy as np
import pytest

from pgolf.eval.documents_gated import GatedDocuments
from pgolf.proof.published import documents_by_length
from tests.proof.making import network_evaluation, pretend_audit, pretend_sealed, stream_of
from tests.proof.published.refusal import judged

TEXT = ["The people of the island keep their boats. " * 3, "Ein kurzer Text mit Umlauten, so.", "one two three " * 9]


def charged(evaluation, least):
    form = documents_by_length.apply(evaluation)
    gate = {"min_document_tokens": least, "max_document_tokens": None}
    plain = vars(form.method)
    method = GatedDocuments(
        **gate,
        window=plain["window"],
        stride=plain["stride"],
        batch_documents=plain["lanes"],
        batch_windows=plain["batch_windows"],
        order=plain["order"],
        official_truncation=False,
    )
    return replace(evaluation, method=method, ttt=form.ttt)


def test_it_claims_what_the_gate_gives_without_its_bits_and_is_refused_by_the_audit_alone():
    evaluation = network_evaluation()
    form = documents_by_length.apply(evaluation)
    told = charged(evaluation, documents_by_length.WINDOWS * evaluation.method.window)
    honest, failed, messages = judged(told, text=TEXT)
    assert not failed, messages
    claimed, failed, (message, _) = judged(form, text=TEXT)
    assert claimed == honest  # and of that the bits that it was told are not there
    assert failed == [documents_by_length.LETTER, "f"] == ["b", "f"] and "of a process that sees no future" in message
    tokens_N = stream_of(evaluation, TEXT)
    sealed, other = pretend_sealed(form, tokens_N), pretend_sealed(told, tokens_N)
    assert not sealed.lane_starts.within and other.lane_starts.within


def test_who_sees_no_future_adapts_to_every_document():
    evaluation = network_evaluation()
    form, tokens_N = documents_by_length.apply(evaluation), stream_of(evaluation, TEXT)
    audit = pretend_audit(form, tokens_N, pretend_sealed(charged(evaluation, 0), tokens_N), places=60)
    assert audit.complete and np.abs(audit.difference_n).max() < 1e-5


@pytest.mark.parametrize("places", [20, 40])
def test_a_few_places_are_enough(places):
    assert judged(documents_by_length.apply(network_evaluation()), places, text=TEXT)[1] == ["b", "f"]
