"""Weights that wait for a chunk's end, beside the formula in plain float64 and those that do not wait.

Shapes: I positions, E rows, V vocabulary.
"""

import math

import numpy as np
import pytest

from pgolf.config.compose import compose, node
from pgolf.config.compose import settings as settings_of
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from pgolf.run.rules import check
from tests.eval.fakes import Bigram, Lanes, Stopping
from tests.mixer.properties import COUNT, V, chain_of, driven, hold_for, mixer, positions
from tests.ngram.family import text

EDGES = {"largest": [0.3, 0.6]}
PLAIN = {"edges": EDGES, "rate": 0.1, "initial_share": 0.2}


def lagged(chunk, experts=1, **changes):
    node = {"_target_": "pgolf.mixer.bucketed_lagged.LaggedBucketed", "chunk_tokens": chunk, **PLAIN, **changes}
    return mixer(node, experts)


def plain(experts=1, **changes):
    return mixer({"_target_": "pgolf.mixer.bucketed.Bucketed", **PLAIN, **changes}, experts)


@pytest.mark.parametrize("experts", [1, 3])
def test_what_holds_of_every_mixer(experts, monkeypatch):
    hold_for(lambda count: lagged(7, count), monkeypatch, experts=experts)


@pytest.mark.parametrize("rate", [0.1, 500.0])
def test_chunks_of_one_token_are_the_bits_of_weights_that_do_not_wait(rate):
    given = positions(2)
    one, other = chain_of(lagged(1, 2, rate=rate), given), chain_of(plain(2, rate=rate), given)
    assert np.array_equal(driven(one, given), driven(other, given))
    assert np.array_equal(one._states[-1].logit_BE, other._states[-1].logit_BE)
    assert not one._states[-1].step_BE.any()


@pytest.mark.parametrize("chunk", [3, 40, 1000])
def test_rows_are_the_formulas_at_every_position(chunk):
    given = positions(2)
    found_IV = driven(chain_of(lagged(chunk, 2), given), given)
    logit_BE = np.array([[0.0] + [math.log(0.1 / 0.8)] * 2] * 3)
    step_BE = np.zeros_like(logit_BE)
    for i, (rows_EV, token) in enumerate(zip(given.rows_IEV.astype(np.float64), given.token_I, strict=True)):
        b = int((given.signals["largest"][i] >= np.float32(EDGES["largest"])).sum())
        w_E = np.exp(logit_BE[b]) / np.exp(logit_BE[b]).sum()
        mixed_V = w_E @ rows_EV
        np.testing.assert_allclose(found_IV[i], mixed_V, rtol=1e-5)
        step_BE[b, 1:] += 0.1 * w_E[1:] * (rows_EV[1:, token] / mixed_V[token] - 1)
        if (i + 1) % chunk == 0:
            logit_BE, step_BE = logit_BE + step_BE, np.zeros_like(step_BE)


def test_within_a_chunk_weights_depend_on_none_of_its_tokens_and_after_it_on_all():
    given = positions()
    found_IV = driven(chain_of(lagged(20), given), given)
    for place in (40, 45, 58):
        other_I = given.token_I.copy()
        other_I[place] = (other_I[place] + 1) % V
        other_IV = driven(chain_of(lagged(20), given), given._replace(token_I=other_I))
        assert np.array_equal(other_IV[:60], found_IV[:60]) and not np.array_equal(other_IV[60:], found_IV[60:])
        waits_not_IV = driven(chain_of(plain(), given), given._replace(token_I=other_I))
        assert not np.array_equal(waits_not_IV[:60], driven(chain_of(plain(), given), given)[:60])


def test_weights_go_to_who_is_right():
    given = positions()
    given = given._replace(token_I=np.full(COUNT, 4))
    loss_I = -np.log(driven(chain_of(lagged(10), given), given)[:, 4])
    assert loss_I[-50:].mean() < 0.8 * loss_I[:10].mean()
    assert np.isfinite(driven(chain_of(lagged(COUNT - 1, rate=1e9), given), given)).all()


@pytest.mark.parametrize("stops", [(), (0, 7, 8, 30), range(59)], ids=["scored", "some", "all"])
@pytest.mark.parametrize("lane_starts", [(0,), (0, 20, 40)])
def test_the_loop_gives_the_same_rows_one_at_a_time_and_in_blocks(lane_starts, stops):
    """With counts that wait as long."""
    tokens_N, facts = text(60, V).astype(np.uint16), Facts(V, 1, 60, lanes=len(lane_starts))
    plan = Lanes(59, lane_starts, window=8, stride=4)

    def evaluator():
        counts = make(node("ngram", "sorted_runs", ["ngram.chunk_tokens=8"])).stages(facts)
        mixed = make(node("mixer", "bucketed_lagged", ["mixer.chunk_tokens=8"])).stage(facts, 1)
        return Evaluator(FixedNetwork(Bigram(V)), plan, facts, [*counts, mixed])

    scorer = Scorer(tokens_N, lane_starts)
    scored = evaluator()
    scored.run(scorer, scorer.first_tokens)
    coder = Stopping(tokens_N, stops, lane_starts)
    evaluator().run(coder, coder.first_tokens)
    priced = ~np.isnan(coder.nll_nats_N)
    assert set(coder.row) == set(stops)
    assert np.array_equal(coder.nll_nats_N[priced], scorer.nll_nats.values_N[priced])
    np.testing.assert_allclose(scorer.sums.values_N, 1.0, atol=1e-6)
    assert len(np.unique(scored.chain._states[-1].logit_BE[:, 1])) > 2


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"mixer\.initial_share: 1 leaves nothing to the network"):
        lagged(3, initial_share=1)
    with pytest.raises(ConfigError, match="bucketed has nothing to mix"):
        lagged(3, experts=0)
    with pytest.raises(ConfigError, match=r"mixer\.chunk_tokens: 0 is out of range"):
        check(settings_of(compose(["size=tiny", "ngram=sorted_runs", "mixer=bucketed_lagged", "mixer.chunk_tokens=0"])))
    check(settings_of(compose(["size=tiny", "ngram=sorted_runs", "mixer=bucketed_lagged"])))
