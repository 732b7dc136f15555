import numpy as np
import pytest

from tests.mixer.properties import COUNT, chain_of, driven, hold_for, mixer, positions


def geometric(experts, rate=0.02, initial_share=0.3):
    settings = {"rate": rate, "initial_share": initial_share}
    return mixer({"_target_": "pgolf.mixer.geometric.Geometric", **settings}, experts)


@pytest.mark.parametrize("experts", [0, 2])
def test_rows_are_the_formulas_at_every_position(experts, monkeypatch):
    row_IV = hold_for(geometric, monkeypatch, experts=experts)
    rows_IEV, _, token_I = positions(experts)
    w_E = np.array([0.7] + [0.3 / experts] * experts) if experts else np.ones(1)
    for rows_EV, row_V, token in zip(rows_IEV.astype(np.float64), row_IV, token_I, strict=True):
        p_V = np.prod(rows_EV ** w_E[:, None], axis=0)
        p_V /= p_V.sum()
        np.testing.assert_allclose(row_V, p_V, rtol=2e-5)
        w_E = w_E + 0.02 * (np.log(rows_EV[:, token]) - np.log(rows_EV) @ p_V)
    assert abs(w_E[0] - (0.7 if experts else 1)) > 0.1


def test_rows_stay_positive_where_a_power_comes_to_nothing():
    given = positions(1)
    given.rows_IEV[:, 1] = 1e-30
    given.rows_IEV[:, 1, 4] = 1
    given.token_I[:] = 4
    row_IV = driven(chain_of(geometric(1, rate=10.0), given), given)
    assert row_IV.min() > 0 and np.isfinite(row_IV).all() and row_IV[COUNT - 1, 4] > 0.999
    np.testing.assert_allclose(row_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
