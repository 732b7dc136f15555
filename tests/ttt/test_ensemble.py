"""The mean of adaptations that differ by their rate, beside each of them alone.

Shapes: N tokens of a stream, V vocabulary.
"""

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.eval.fakes import AllRows
from tests.helpers import tiny_settings
from tests.ttt.making import PLAIN, evaluator_of, made, run, scored, sgd, stream

RATES = [0.0, 0.05, 0.2]


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    return stream(100)


def ensemble(**changes):
    of = {**tiny_settings("ttt=sgd")["ttt"], **PLAIN}
    return make({"_target_": "pgolf.ttt.ensemble.Ensemble", "of": of, "lrs": RATES, "mean": "probability", **changes})


def rows(model, tokens_N, ttt, stops=()):
    """By place [V]."""
    evaluator = evaluator_of(model, tokens_N, ttt)
    return run(evaluator, AllRows(tokens_N, stops, evaluator.plan.lane_starts)).row


def test_rows_are_the_mean_of_the_members_each_with_its_rate(model, tokens_N):
    alone = [rows(model, tokens_N, sgd(lr=lr)) for lr in RATES]
    arithmetic, geometric = (rows(model, tokens_N, ensemble(mean=mean)) for mean in ("probability", "logarithm"))
    for place in (0, 40, 70, 98):
        each_KV = np.array([found[place] for found in alone], dtype=np.float64)
        np.testing.assert_allclose(arithmetic[place], each_KV.mean(0), rtol=2e-5)
        pooled_V = np.exp(np.log(each_KV).mean(0))
        np.testing.assert_allclose(geometric[place], pooled_V / pooled_V.sum(), rtol=2e-5)
    assert not np.allclose(alone[0][98], alone[2][98], atol=1e-3)
    alone_KN = np.array([scored(model, tokens_N, sgd(lr=lr)) for lr in RATES])
    for mean in ("probability", "logarithm"):
        assert (scored(model, tokens_N, ensemble(mean=mean)) <= alone_KN.mean(0) + 1e-5).all()


def test_told_each_token_after_its_row_and_in_a_fork_it_gives_the_same_bits(model, tokens_N):
    whole, stops = rows(model, tokens_N, ensemble()), (0, 40, 70, 98)
    late = rows(model, tokens_N, ensemble(), stops)
    assert late.keys() >= set(stops) and all(np.array_equal(row_V, whole[place]) for place, row_V in late.items())
    evaluator = evaluator_of(model, tokens_N, ensemble())
    twin = evaluator.fork()
    first, second = (run(one, AllRows(tokens_N, (), one.plan.lane_starts)).row for one in (evaluator, twin))
    assert all(np.array_equal(first[place], second[place]) for place in first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lrs": []}, r"ttt\.lrs: \[\] is no list of rates"),
        ({"of": tiny_settings("ttt=none")["ttt"]}, r"ttt\.of: pgolf\.ttt\.none\.NoAdaptation has no lr"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ensemble(**changes)


def test_it_is_composed_of_adapters_or_of_another_option():
    at_record = tiny_settings("ttt=ensemble", "size=record")["ttt"]
    assert at_record["lrs"] == [0.0058, 0.01, 0.0173] and at_record["of"]["rank"] == 4
    other = tiny_settings("ttt=ensemble", "ttt@ttt.of=adamw", "~ttt.of.rank", "~ttt.of.alpha")["ttt"]
    assert other["of"]["_target_"] == "pgolf.ttt.adamw.AdamW"
