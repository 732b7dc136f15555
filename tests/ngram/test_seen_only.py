"""What #1026 claims beside its formula in plain Python; its rows are no distributions."""

import math

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.eval.stages import mean
from tests.ngram.family import CASES, Dicts, chain_of, check_causality, check_plain, check_prices, driven, positions
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged

CONSTANTS = {"alpha": 0.5, "nll_nats": 2.5, "low": 0.1, "high": 2.0}


class Claims(Dicts):
    def row(self, lane, own_V):
        row_V = own_V.astype(np.float64)
        for order, context in reversed(self.contexts(lane, self.orders)):
            counts = self.counts[context]
            total = sum(counts.values())
            if total:
                for v, count in counts.items():
                    alpha = 0.50 * min(max(-math.log(own_V[v]) / 2.5, 0.1), 2.0)
                    row_V[v] = (1 - alpha) * own_V[v] + alpha * count / total
                return row_V, (order, total, len(counts))
        return row_V, (1, 0, 0)


@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_published_claims(case):
    vocab_size, count, lanes, min_order, max_order = CASES[case]
    given_positions = own_IV, _, lane_I, token_I = positions(count, vocab_size, lanes)

    def fresh():
        orders = {"min_order": min_order, "max_order": max_order, "max_memory_mb": 100}
        return chain_of("seen_only.SeenOnly", vocab_size, count, lanes, **CONSTANTS, **orders)

    chain, claims = fresh(), Claims(min_order, max_order, None)
    row_IV = driven(chain, given_positions)
    for i in range(count):
        row_V, known = claims.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(row_IV[i], row_V, atol=1e-6, rtol=1e-5)
        assert tuple(chain._now.out_SIS[0][i]) == known
        claims.learn(lane_I[i], int(token_I[i]))
    assert row_IV.sum(-1).max() > 1.2
    check_prices(chain, row_IV, fresh(), given_positions)
    check_causality(fresh, row_IV, given_positions)
    check_plain(fresh, row_IV, given_positions, chain)


def test_the_certificate_refuses_it_by_its_sums_though_it_claims_less():
    node = {"_target_": "pgolf.ngram.seen_only.SeenOnly", "min_order": 2, "max_order": 7, "max_memory_mb": 100}
    claimed, failed, messages = judged(network_evaluation(ngram=make(node | CONSTANTS), mixer=mean()))
    assert claimed < judged(network_evaluation())[0]
    assert failed == ["a"], messages


@pytest.mark.parametrize("changes", [{"low": 3.0}, {"high": 2.5}])
def test_weights_beyond_one_are_refused(changes):
    node = {"_target_": "pgolf.ngram.seen_only.SeenOnly", "min_order": 2, "max_order": 7, "max_memory_mb": 100}
    with pytest.raises(ConfigError, match=r"ngram\.high: "):
        make(node | CONSTANTS | changes)
