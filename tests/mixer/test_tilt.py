import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from tests.mixer.properties import hold_for, mixer, positions


def tilt(experts, threshold=0.4, strength=1.5, gamma=1.0, rate=0.2):
    settings = {"threshold": threshold, "strength": strength, "gamma": gamma, "rate": rate}
    return mixer({"_target_": "pgolf.mixer.tilt.Tilt", **settings}, experts)


@pytest.mark.parametrize("experts", [1, 3])
def test_rows_are_the_formulas_at_every_position(experts, monkeypatch):
    row_IV = hold_for(tilt, monkeypatch, experts=experts)
    rows_IEV, _, token_I = positions(experts)
    strength, hints = 1.5, []
    for rows_EV, row_V, token in zip(rows_IEV.astype(np.float64), row_IV, token_I, strict=True):
        found = []
        for q_V in rows_EV[1:]:
            h = q_V.argmax()
            own, beta = rows_EV[0, h], strength * (1 - rows_EV[0, h])
            if q_V[h] >= 0.4:
                found.append((q_V[h] * beta - np.log(1 + own * (np.exp(beta) - 1)), h, beta))
        expected_V = rows_EV[0].copy()
        if found:
            _, h, beta = max(found)
            expected_V[h] *= np.exp(beta)
            expected_V /= expected_V.sum()
            strength += 0.2 * (1 - rows_EV[0, h]) * ((token == h) - expected_V[h])
            hints.append(h)
        np.testing.assert_allclose(row_V, expected_V, rtol=1e-5)
    assert len(set(hints)) > 1 and len(hints) > 20 and strength != 1.5


def test_a_step_is_the_gradient_of_the_logarithm_of_what_the_token_was_given():
    rows_EV = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]], dtype=np.float32)

    def log_p(strength, token):
        row_V, state = np.zeros(3, dtype=np.float32), tilt(1, strength=strength).state
        stage.predict(state, 0, rows_EV, None, row_V, np.zeros(1, dtype=np.float32))
        return np.log(np.float64(row_V[token]))

    stage = tilt(1)
    for token in (0, 1):
        numeric = (log_p(1.51, token) - log_p(1.49, token)) / 0.02
        state = tilt(1, rate=1.0).state
        stage.learn(state, 0, rows_EV, None, token)
        assert state.strength_1[0] - 1.5 == pytest.approx(numeric, rel=1e-3)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"mixer\.strength: 21 is too much"):
        tilt(1, strength=21)
    with pytest.raises(ConfigError, match="mixer: tilt has nobody to hint at a token"):
        tilt(0)
