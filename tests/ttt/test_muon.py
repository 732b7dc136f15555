"""Adaptation by Muon. Expected: the optimizer that trains the network, which is written apart."""

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.optimizer.decay.decoupled import Decoupled
from pgolf.optimizer.matrix_update import MatrixUpdate
from pgolf.optimizer.muon import Muon
from pgolf.optimizer.normalize.none import NoNormalizer
from pgolf.optimizer.orthogonal.newton_schulz import NewtonSchulz
from pgolf.run.rules import check
from pgolf.ttt.muon import Orthogonalised
from pgolf.ttt.none import NoAdaptation
from tests.helpers import tiny_settings
from tests.ttt.making import adaptation, by_hand, evaluator_of, made, rows_of, same, scored, stream


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


def muon(**changes):
    return adaptation("muon", **{"chunk_tokens": 32, "window": 32, "lr": 0.02, "momentum": 0.5} | changes)


def trainings(ttt):
    orthogonal = NewtonSchulz(dtype=torch.float32, steps=ttt.ns_steps)
    update = MatrixUpdate(orthogonal, NoNormalizer(), nesterov=True)
    return lambda weights: Muon(
        [{"params": weights, "lr": 1.0, "weight_decay": 0.0}],
        momentum=ttt.momentum,
        update=update,
        decay=Decoupled(),
    )


@pytest.mark.parametrize("changes", [{}, {"trains": ["mlp"], "momentum": 0.0, "final_lr": 0.0}], ids=str)
def test_each_chunk_is_scored_and_then_trained_on(model, changes):
    tokens_N, ttt = stream(193), muon(**changes)
    found = scored(model, tokens_N, ttt)
    np.testing.assert_allclose(found, by_hand(model, tokens_N, ttt, trainings(ttt)), atol=2e-4)
    fixed = scored(model, tokens_N, NoAdaptation())
    assert np.array_equal(found[:48], fixed[:48]) and np.abs(found - fixed).max() > 0.004


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, method):
    tokens_N = stream(150)
    together = rows_of(evaluator_of(model, tokens_N, muon(), workers=2, method=method), tokens_N)
    stops = [0, 31, 32, 64, 65, 148]
    assert same(rows_of(evaluator_of(model, tokens_N, muon(), batch=1, method=method), tokens_N, stops), together)


def test_no_epochs_or_no_rate_is_the_network_as_it_is(model):
    tokens_N = stream(100)
    fixed = scored(model, tokens_N, NoAdaptation())
    for changes in ({"epochs": 0}, {"lr": 0.0}):
        assert np.array_equal(scored(model, tokens_N, muon(**changes)), fixed)


def test_a_fork_of_the_rule_goes_on_alone():
    rule, weight = Orthogonalised(0.9, 5), torch.eye(3)
    rule.step([weight], [torch.randn(3, 3)], 0.1)
    fork, twin, gradient = rule.fork(), weight.clone(), torch.randn(3, 3)
    for some, other in ((rule, weight), (fork, twin)):
        some.step([other], [gradient], 0.1)
    assert torch.equal(weight, twin) and fork.momenta[0] is not rule.momenta[0]


def test_what_is_no_matrix_is_refused_before_the_run():
    with pytest.raises(ConfigError, match=r"ttt\.trains: muon trains matrices, not mixer_scale, mlp_scale"):
        check(tiny_settings("ttt=muon", "ttt.trains=[matrix, scales]"))
