import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.mixer.properties import hold_for, mixer, positions

SETTINGS = {"share": 0.5, "centre": 2.5, "least": 0.1, "most": 2.0}
HERE = "pgolf.mixer.surprise.Surprise"


def by_rule(rows_EV, seen_V):
    rows_EV = rows_EV.astype(np.float64)
    a_V = 0.5 * np.clip(-np.log(rows_EV[0]) / 2.5, 0.1, 2.0)
    return np.where(seen_V, (1 - a_V) * rows_EV[0] + a_V * rows_EV[1:].mean(0), rows_EV[0])


@pytest.mark.parametrize("experts", [1, 2])
def test_rows_are_the_rule_divided_by_its_sum(experts, monkeypatch):
    row_IV = hold_for(lambda experts: mixer({"_target_": HERE, **SETTINGS}, experts), monkeypatch, experts=experts)
    for rows_EV, row_V in zip(positions(experts).rows_IEV, row_IV, strict=True):
        u_V = by_rule(rows_EV, True)
        np.testing.assert_allclose(row_V, u_V / u_V.sum(), rtol=1e-5)


def test_a_token_that_the_expert_has_not_seen_keeps_the_networks_word_before_the_division():
    rows_EV = np.array([[0.2, 0.5, 0.3], [1e-30, 0.6, 0.4]], dtype=np.float32)
    row_V, stage = np.zeros(3, dtype=np.float32), mixer({"_target_": HERE, **SETTINGS})
    stage.predict(stage.state, 0, rows_EV, None, row_V, None)
    u_V = by_rule(rows_EV, [False, True, True])
    assert u_V[0] == pytest.approx(0.2)
    np.testing.assert_allclose(row_V, u_V / u_V.sum(), rtol=1e-6)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"mixer\.most: 3 with mixer\.share = 0\.5"):
        make({"_target_": HERE, **SETTINGS, "most": 3})
    with pytest.raises(ConfigError, match="surprise has nothing to mix with the network's row"):
        mixer({"_target_": HERE, **SETTINGS}, 0)
