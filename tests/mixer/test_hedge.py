import math

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from tests.mixer.properties import COUNT, chain_of, driven, hold_for, mixer, positions


def stage(experts, eta=0.3, epsilon=0.01, network_logit=2.0):
    settings = {"eta": eta, "epsilon": epsilon, "network_logit": network_logit}
    return mixer({"_target_": "pgolf.mixer.hedge.Hedge", **settings}, experts)


@pytest.mark.parametrize("experts", [1, 3])
def test_rows_are_the_formulas_at_every_position(experts, monkeypatch):
    row_IV = hold_for(stage, monkeypatch, experts=experts)
    rows_IEV, _, token_I = positions(experts)
    w_E = np.array([math.exp(2)] + [1] * experts)
    for rows_EV, row_V, token in zip(rows_IEV.astype(np.float64), row_IV, token_I, strict=True):
        w_E /= w_E.sum()
        np.testing.assert_allclose(row_V, w_E @ rows_EV, rtol=1e-5)
        w_E = w_E * rows_EV[:, token] ** 0.3
        w_E = 0.99 * w_E / w_E.sum() + 0.01 / len(w_E)


def test_with_bayes_rule_it_costs_at_most_the_first_weights_surprise_more_than_the_best():
    given = positions(2)
    chain = chain_of(stage(2, eta=1.0, epsilon=0.0), given)
    each = np.arange(COUNT)
    mixed = -np.log(driven(chain, given)[each, given.token_I]).sum()
    alone_E = -np.log(given.rows_IEV[each, :, given.token_I]).sum(0)
    first_E = np.exp([2, 0, 0]) / np.exp([2, 0, 0]).sum()
    assert (mixed <= alone_E - np.log(first_E) + 1e-3).all()


def test_no_weight_comes_to_nothing():
    given = positions(1)
    given.rows_IEV[:, 1] = 1e-30
    given.rows_IEV[:, 1, 0] = 1
    given.token_I[:] = 5
    row_IV = driven(chain_of(stage(1, eta=1.0, epsilon=0.0), given), given)
    assert row_IV.min() > 0 and np.isfinite(row_IV).all()


def test_without_experts_there_is_nothing_to_weigh():
    with pytest.raises(ConfigError, match="mixer: hedge has nothing to mix with the network's row"):
        stage(0)
