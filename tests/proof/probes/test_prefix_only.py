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


def on_gpu(context):
    return dataclasses.replace(context, terms=dataclasses.replace(context.terms, device="cuda"))


def passed(context, made, tries=40):
    """The share of tries whose differences, ``made(random, places)``, pass."""
    place_n = context.audit.place_n
    differences = [made(np.random.default_rng(seed), place_n) for seed in range(tries)]
    return np.mean([prefix_only.probe(with_audit(context, difference_n=found)).passed for found in differences])


@pytest.mark.parametrize("cost", [0.0, 2e-5, 1e-3])
def test_where_kernels_may_differ_noise_passes_and_so_does_what_costs_the_author(context, cost):
    assert passed(on_gpu(context), lambda random, place_n: random.normal(cost, 1e-3, len(place_n))) == 1


def test_where_kernels_may_differ_a_steady_gain_fails(context):
    assert passed(on_gpu(context), lambda random, place_n: random.normal(-1e-3, 1e-3, len(place_n))) == 0
    assert passed(on_gpu(context), lambda random, place_n: np.full(len(place_n), -6e-4)) == 0


@pytest.mark.parametrize("gain", [0.0024, 0.0050, 0.0072])
def test_where_kernels_may_differ_a_gain_behind_large_differences_fails(context, gain):
    """None of them over the tolerance, and the first half alone leans, where no stretch is looked at."""
    middle = len(context.sealed.nll_nats_N) // 2

    def liar(random, place_n):
        leaning_n = np.where(place_n < middle, 2 * gain, 0.0)
        return np.where(random.random(len(place_n)) < (1 + leaning_n / 0.0499) / 2, -0.0499, 0.0499)

    assert passed(on_gpu(context), liar) <= 0.05


def test_only_uniform_places_say_what_is_usual(context):
    """The others lie where there is more to gain, and a stretch is many places of one kind."""
    uniform = np.isin(context.audit.place_n, context.audit.uniform_n)
    elsewhere = with_audit(on_gpu(context), difference_n=np.where(uniform, 0.0, -0.01))
    assert prefix_only.probe(elsewhere).passed
    there = prefix_only.probe(with_audit(on_gpu(context), difference_n=np.where(uniform, -0.01, 0.01)))
    assert "+0.01 ± 0 nats below" in there.message and "300 uniform places; 0.0005 is allowed" in there.message


def test_on_a_cpu_noise_passes_and_a_steady_gain_within_the_tolerance_does_not(context):
    assert passed(context, lambda random, place_n: random.normal(0, 2e-5, len(place_n))) == 1
    steady = prefix_only.probe(with_audit(context, difference_n=np.full(len(context.audit.place_n), -9.9e-5)))
    assert not steady.passed and "1e-05 is allowed" in steady.message
    noise = np.random.default_rng(0).normal(0, 1e-3, len(context.audit.place_n))
    assert not prefix_only.probe(with_audit(context, difference_n=noise)).passed


def test_a_score_that_is_no_number_is_a_difference(context):
    difference = context.audit.difference_n.copy()
    difference[0] = np.nan
    assert not prefix_only.probe(with_audit(context, difference_n=difference)).passed
