import numpy as np
import pytest

from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts, in_turn
from pgolf.run.rules import check
from tests.mixer.properties import COUNT, V, hold_for, mixer, positions

ALONE = {"_target_": "pgolf.mixer.none.Single"}
FIXED = {"_target_": "pgolf.mixer.fixed.Fixed", "share": 0.5}


def node(of=ALONE, ranks=3, share=0.6, rate=0.05, edges=None):
    edges = {"entropy": [1.0, 1.5]} if edges is None else edges
    return {"_target_": "pgolf.mixer.sse.Sse", "of": of, "ranks": ranks, "share": share, "rate": rate, "edges": edges}


def test_rows_are_the_formulas_at_every_position(monkeypatch):
    row_IV = hold_for(lambda experts: mixer(node(), experts), monkeypatch, experts=0)
    rows_IEV, signals, token_I = positions(0)
    centre_B = np.linspace(-8, 8, 33)
    table_CRB = np.tile(1 / (1 + np.exp(-centre_B)), (3, 3, 1))
    for i, (p_V, row_V) in enumerate(zip(rows_IEV[:, 0].astype(np.float64), row_IV, strict=True)):
        table_RB = table_CRB[np.searchsorted([1.0, 1.5], signals["entropy"][i], side="right")]
        top_R, expected_V, left, was = np.argsort(-p_V, kind="stable")[:3], p_V.copy(), 1.0, p_V.sum()
        asked = True
        for r, token in enumerate(top_R):
            q = p_V[token] / was
            logit = np.log(q / (1 - q))
            turn = 0.4 * q + 0.6 * np.interp(logit, centre_B, table_RB[r])
            was -= p_V[token]
            expected_V[token] = left * turn
            left *= 1 - turn
            if asked:
                nearest = np.abs(np.clip(logit, -8, 8) - centre_B).argmin()
                table_RB[r, nearest] += 0.05 * ((token == token_I[i]) - table_RB[r, nearest])
                asked = token != token_I[i]
        others = np.setdiff1d(np.arange(V), top_R)
        expected_V[others] *= left / p_V[others].sum()
        np.testing.assert_allclose(row_V, expected_V, rtol=1e-4)
    assert np.abs(row_IV - rows_IEV[:, 0]).max() > 0.05


def test_it_corrects_the_row_of_the_mixer_that_it_is_put_after():
    given, chained = positions(1), in_turn(mixer(node(FIXED, share=0.0)))
    assert [stage.name for stage in chained] == ["fixed", "sse"]
    rows_EV, row_V = given.rows_IEV[0], np.zeros(V, dtype=np.float32)
    chained[0].predict(chained[0].state, 0, rows_EV, None, row_V, None)
    both_EV, corrected_V = np.concatenate([rows_EV, row_V[None]]), np.zeros(V, dtype=np.float32)
    chained[1].predict(chained[1].state, 0, both_EV, np.ones(1, dtype=np.float32), corrected_V, None)
    np.testing.assert_allclose(corrected_V, row_V, rtol=1e-5)  # a share of nothing


def test_a_row_that_is_all_but_sure_stays_positive_and_sums_to_one():
    stage = mixer(node(edges={}, share=0.0), 0)
    rows_EV = np.full((1, V), 1e-30, dtype=np.float32)
    rows_EV[0, 3] = 1.0
    row_V = np.zeros(V, dtype=np.float32)
    stage.predict(stage.state, 0, rows_EV, np.zeros(0, dtype=np.float32), row_V, None)
    assert row_V.min() > 0 and row_V.sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-6) and row_V[3] > 0.99


def test_words_put_it_after_any_mixer():
    cfg = settings(compose(["size=tiny", "ngram=backoff", "mixer=sse", "mixer@mixer.of=bucketed", "mixer.of.rate=0.3"]))
    check(cfg)
    assert len(in_turn(make(cfg["mixer"]).stage(Facts(V, 1, COUNT), 1))) == 2
    with pytest.raises(ConfigError) as refused:
        check(settings(compose(["size=tiny", "ngram=none", "mixer=sse", "mixer@mixer.of=bucketed"])))
    assert "bucketed has nothing to mix" in refused.value.problems[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": {"entropy": [2, 1]}}, r"mixer\.edges\.entropy: \[2, 1\] does not ascend"),
        ({"ranks": 13}, "leaves none"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        mixer(node(**changes), 0)
