import dataclasses

import numpy as np
import pytest

from pgolf.proof.probes import normalisation
from tests.proof.making import context_of, network_evaluation


@pytest.fixture(scope="module")
def context():
    return context_of(network_evaluation())


def verdict(context, which, **changes):
    part = dataclasses.replace(getattr(context, which), **changes)
    return normalisation.probe(dataclasses.replace(context, **{which: part}))


def test_rows_of_the_network_sum_to_one(context):
    result = normalisation.probe(context)
    assert result.passed, result.message
    assert result.measured["positions"] == len(context.tokens_N) - 1
    assert result.measured["largest_deviation"] < 1e-6


def test_one_row_that_sums_to_more_is_enough(context):
    sums = context.sealed.sum_p_N.copy()
    sums[77] = 1.0001
    result = verdict(context, "sealed", sum_p_N=sums)
    assert not result.passed and "scored position 77 sums to 1.0001" in result.message


def test_a_row_that_is_handed_over_is_added_up_whatever_was_said_of_it(context):
    sums = context.audit.sum_n.copy()
    sums[3] = 2.0
    place = context.audit.place_n[3]
    assert f"handed over for position {place} sums to 2" in verdict(context, "audit", sum_n=sums).message
    sums[3] = np.nan
    assert not verdict(context, "audit", sum_n=sums).passed


def test_entries_below_zero_and_scores_below_zero_are_caught(context):
    least = context.audit.least_n.copy()
    least[5] = -0.01
    assert "has an entry of -0.01" in verdict(context, "audit", least_n=least).message
    nll_nats = context.sealed.nll_nats_N.copy()
    nll_nats[9] = -0.5
    assert "position 9 is scored with -0.5 nats" in verdict(context, "sealed", nll_nats_N=nll_nats).message


def test_a_scorer_that_keeps_silent_about_its_sums_is_caught(context):
    sums = context.sealed.sum_p_N.copy()
    sums[4] = np.nan
    assert "of 1 positions the scorer does not say" in verdict(context, "sealed", sum_p_N=sums).message


def test_where_targets_alone_were_priced_the_rows_that_are_handed_over_are_looked_at(context):
    silent = np.full_like(context.sealed.sum_p_N, np.nan)
    result = verdict(context, "sealed", sum_p_N=silent)
    assert result.passed and "targets alone were priced" in result.message
    sums = context.audit.sum_n.copy()
    sums[3] = 2.0
    assert not verdict(context, "audit", sum_n=sums).passed
