import dataclasses

import numpy as np
import pytest

from pgolf.eval.sealed import Violation
from pgolf.proof.probes import prefix_only
from tests.proof.making import context_of, network_evaluation, pretend_audit


@pytest.fixture(scope="module")
def context():
    return context_of(network_evaluation())


def with_audit(context, **changes):
    return dataclasses.replace(context, audit=dataclasses.replace(context.audit, **changes))


def test_an_honest_evaluation_gives_its_own_scores_without_the_future(context):
    result = prefix_only.probe(context)
    assert result.passed, result.message
    assert result.measured["looked_at"] == result.measured["planned"] == 600
    assert result.measured["largest_difference_nats"] < 1e-6
    assert result.measured["bound"] == pytest.approx(3 / 300)
    assert "600 rows made without the future" in result.message and "fewer than 1.00% of positions" in result.message


def test_one_score_that_its_row_does_not_have_is_enough(context):
    nll_nats_N = context.sealed.nll_nats_N.copy()
    place = int(context.audit.place_n[100])
    nll_nats_N[place] -= 0.001
    sealed = dataclasses.replace(context.sealed, nll_nats_N=nll_nats_N)
    audit = pretend_audit(context.terms, context.tokens_N, sealed, places=10_000)
    result = prefix_only.probe(dataclasses.replace(context, sealed=sealed, audit=audit))
    assert not result.passed and f"position {place:,} by -0.001 nats" in result.message


def test_rows_that_are_missing_are_no_proof(context):
    audit = context.audit
    part = {name: getattr(audit, name)[:5] for name in ("place_n", "difference_n", "sum_n", "least_n")}
    assert "5 of 600 rows were handed over" in prefix_only.probe(with_audit(context, **part)).message
    none = {name: getattr(audit, name)[:0] for name in part}
    assert not prefix_only.probe(with_audit(context, **none)).passed


def test_a_process_that_broke_off_says_why(context):
    violation = Violation("out_of_turn", "audit", "handed over a row for position 3, which it was not asked for")
    run = dataclasses.replace(context.audit.run, violations=(violation,))
    result = prefix_only.probe(with_audit(context, run=run))
    assert not result.passed and "handed over a row for position 3" in result.message


def test_where_kernels_may_differ_the_interval_of_the_mean_decides(context):
    on_gpu = dataclasses.replace(context, terms=dataclasses.replace(context.terms, device="cuda"))
    noise = np.random.default_rng(0).normal(0, 1e-3, len(context.audit.place_n))
    noise -= noise.mean()
    assert prefix_only.probe(with_audit(on_gpu, difference_n=noise)).passed
    leaning = prefix_only.probe(with_audit(on_gpu, difference_n=noise - 1e-3))
    assert not leaning.passed and "-0.001 ±" in leaning.message
    assert not prefix_only.probe(with_audit(context, difference_n=noise)).passed


def test_a_score_that_is_no_number_is_a_difference(context):
    difference = context.audit.difference_n.copy()
    difference[0] = np.nan
    assert not prefix_only.probe(with_audit(context, difference_n=difference)).passed
