import dataclasses

import numpy as np
import pytest

from pgolf.proof.probes import provenance
from tests.proof.making import context_of, network_evaluation

TEXT = "The people of the island keep their boats on the sand, and they are not for sale. "
DOCUMENTS = [TEXT[shift:] + TEXT[:shift] for shift in range(0, 60, 5)]


@pytest.fixture(scope="module")
def context():
    made = context_of(network_evaluation(), documents=DOCUMENTS, places=10)
    whole = dataclasses.replace(made.reported, subset=False)
    return dataclasses.replace(made, reported=whole, dev=whole)


def with_dev(context, above):
    dev = dataclasses.replace(context.reported, val_bpb=context.reported.val_bpb + above)
    return dataclasses.replace(context, dev=dev)


def test_the_spread_is_that_of_the_documents(context):
    error, documents = provenance.spread(context)
    assert documents == len(DOCUMENTS)
    sizes = [len(text) for text in DOCUMENTS]
    ends = np.cumsum([size + 1 for size in sizes])
    bits = [part.sum() / np.log(2) for part in np.split(context.sealed.nll_nats_N, ends[:-1] - 1)]
    bpb = sum(bits) / sum(sizes)
    rest = np.array([b - bpb * size for b, size in zip(bits, sizes, strict=True)])
    assert error == pytest.approx(np.sqrt(len(rest)) * rest.std(ddof=1) / sum(sizes), rel=0.02)


def test_equal_scores_pass_and_are_told(context):
    result = provenance.probe(context)
    assert result.passed and result.measured["watched"]
    assert "+0.0000 bits per byte below dev" in result.message


def test_weights_that_know_validation_better_are_refused(context):
    error = provenance.probe(context).measured["standard_error"]
    assert provenance.probe(with_dev(context, 2 * error)).message.endswith("of its documents")
    told = provenance.probe(with_dev(context, 4 * error))
    assert told.passed and "look at what was trained on" in told.message
    result = provenance.probe(with_dev(context, 7 * error))
    assert not result.passed and "better than a text they never saw" in result.message


def test_a_dev_text_that_is_the_easier_one_is_no_offence(context):
    assert provenance.probe(with_dev(context, -1.0)).passed


def test_a_slice_or_a_few_documents_are_not_judged(context):
    subset = dataclasses.replace(context, reported=dataclasses.replace(context.reported, subset=True))
    result = provenance.probe(with_dev(subset, 1.0))
    assert result.passed and result.message.endswith("below dev: only a slice of validation was scored")
    few = context_of(network_evaluation(), places=10)
    few = dataclasses.replace(few, reported=dataclasses.replace(few.reported, subset=False))
    result = provenance.probe(with_dev(few, 1.0))
    assert result.passed and "3 documents are fewer than the 8 that it takes" in result.message


def test_who_was_not_watched_is_said_so(context):
    result = provenance.probe(dataclasses.replace(context, dev=None))
    assert result.passed and not result.measured["watched"] and "not watched" in result.message
