import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.eval.stages import counts
from tests.mixer.properties import hold_for, mixer, positions
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged

SETTINGS = {"share": 0.5, "centre": 2.5, "least": 0.1, "most": 2.0}


def published(experts):
    return mixer({"_target_": "pgolf.mixer.surprise_published.PublishedSurprise", **SETTINGS}, experts)


def test_rows_are_the_published_rules_and_sum_to_more_than_one(monkeypatch):
    row_IV = hold_for(published, monkeypatch, sums_to_one=False)
    rows_IEV = positions().rows_IEV.astype(np.float64)
    a_IV = 0.5 * np.clip(-np.log(rows_IEV[:, 0]) / 2.5, 0.1, 2.0)
    np.testing.assert_allclose(row_IV, (1 - a_IV) * rows_IEV[:, 0] + a_IV * rows_IEV[:, 1], rtol=1e-5)
    assert row_IV.sum(-1).mean() > 1.1


def test_a_token_that_the_expert_has_not_seen_keeps_all_that_the_network_gives_it():
    rows_EV = np.array([[0.2, 0.5, 0.3], [1e-30, 0.6, 0.4]], dtype=np.float32)
    row_V, stage = np.zeros(3, dtype=np.float32), published(1)
    stage.predict(stage.state, 0, rows_EV, None, row_V, None)
    assert row_V[0] == np.float32(0.2) and row_V.sum() > 1


def test_without_experts_there_is_nothing_to_mix():
    with pytest.raises(ConfigError, match="surprise_published has nothing to mix"):
        published(0)


def test_the_certificate_refuses_it_by_its_sums():
    made = make({"_target_": "pgolf.mixer.surprise_published.PublishedSurprise", **SETTINGS})
    _, failed, messages = judged(network_evaluation(ngram=counts(), mixer=made))
    assert failed == ["a"], messages
