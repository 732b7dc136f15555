import math
from functools import partial

import numpy as np
import pytest

from pgolf.core.make import make
from tests.mixer.properties import hold_for, mixer, positions
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged

HERE = "pgolf.mixer.hedge_published.PublishedHedge"


def published(experts, ranks=1):
    settings = {"eta": 2.0, "network_logit": 2.0, "quiet_tokens": 20, "batch_tokens": 8}
    settings |= {"ranks": ranks, "rank_tokens": 5}
    return mixer({"_target_": HERE, **settings}, experts)


@pytest.mark.parametrize(("experts", "ranks"), [(0, 1), (2, 1), (1, 3)])
def test_rows_are_the_published_rules_and_sum_to_more_than_one(experts, ranks, monkeypatch):
    row_IV = hold_for(partial(published, ranks=ranks), monkeypatch, experts=experts, sums_to_one=False)
    rows_IEV, signals, token_I = positions(experts)
    first_E = np.array([math.exp(2)] + [1] * (experts + 1))
    of_ranks = [[first_E / first_E.sum(), []] for _ in range(ranks)]
    for i, (rows_EV, row_V) in enumerate(zip(rows_IEV.astype(np.float64), row_IV, strict=True)):
        h, rank = signals["entropy"][i], of_ranks[i // 5 % ranks]
        w_E, losses = rank
        expected_V = w_E[:-1] @ rows_EV + w_E[-1] * np.exp(-h)
        np.testing.assert_allclose(row_V, expected_V if i >= 20 else rows_EV[0], rtol=1e-5)
        if i >= 20:
            losses.append([*-np.log(rows_EV[:, token_I[i]]), h])
            if len(losses) == 8:
                w_E = w_E * np.exp(-2.0 * np.mean(losses, 0))
                rank[:] = w_E / w_E.sum(), []
    assert row_IV[20:].sum(-1).min() > 1.01 and all(w_E[-1] > 0.05 for w_E, _ in of_ranks)


def test_the_certificate_refuses_it_by_its_sums_though_it_claims_less():
    settings = {"eta": 0.1, "network_logit": 2.0, "quiet_tokens": 20, "batch_tokens": 8, "ranks": 1, "rank_tokens": 8}
    claimed, failed, messages = judged(network_evaluation(mixer=make({"_target_": HERE, **settings})))
    assert claimed < judged(network_evaluation())[0]
    assert failed == ["a"], messages
