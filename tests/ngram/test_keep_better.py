"""What #659 claims beside its rule in plain Python; its rows are no distributions."""

import numpy as np
import pytest

from pgolf.core.make import make
from tests.eval.stages import mean
from tests.ngram.family import CASES, Dicts, chain_of, check_causality, check_plain, driven, positions
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged


class Claims(Dicts):
    def row(self, lane, own_V):
        row_V, known = own_V.astype(np.float64), (1, 0, 0)
        for order, context in self.contexts(lane, self.orders):
            total = sum(self.counts[context].values())
            if total >= 3:
                known = order, total, len(self.counts[context])
        for v in range(len(own_V)):
            for _, context in reversed(self.contexts(lane, self.orders)):
                total = sum(self.counts[context].values())
                if total >= 3 and self.counts[context][v]:
                    blended = 0.85 * own_V[v] + 0.15 * self.counts[context][v] / total
                    if own_V.max() <= 0.5 and blended > own_V[v]:
                        row_V[v] = blended
                    break
        for counts in self.counts.values():  # as if they had not been asked
            for v in [v for v, count in counts.items() if not count]:
                del counts[v]
        return row_V, known


@pytest.mark.parametrize("case", ["three lanes", "without the shortest"])
def test_rows_are_the_published_claims(case):
    vocab_size, count, lanes, min_order, max_order = CASES[case]
    given_positions = own_IV, _, lane_I, token_I = positions(count, vocab_size, lanes)

    def fresh():
        orders = {"min_order": min_order, "max_order": max_order, "max_memory_mb": 100}
        return chain_of("keep_better.KeepBetter", vocab_size, count, lanes, min_total=3, alpha=0.15, sure=0.5, **orders)

    chain, claims = fresh(), Claims(min_order, max_order, None)
    row_IV = driven(chain, given_positions)
    for i in range(count):
        row_V, known = claims.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(row_IV[i], row_V, atol=1e-6, rtol=1e-5)
        assert tuple(chain._now.out_SIS[0][i]) == known
        claims.learn(lane_I[i], int(token_I[i]))
    assert row_IV.sum(-1).max() > 1.05 and (row_IV >= own_IV).all()
    check_causality(fresh, row_IV, given_positions)
    check_plain(fresh, row_IV, given_positions, chain)


def test_the_certificate_refuses_it_by_its_sums_though_it_claims_less():
    node = {"_target_": "pgolf.ngram.keep_better.KeepBetter", "min_order": 2, "max_order": 5, "max_memory_mb": 100}
    ngram = make(node | {"min_total": 3, "alpha": 0.15, "sure": 0.5})
    claimed, failed, messages = judged(network_evaluation(ngram=ngram, mixer=mean()))
    assert claimed < judged(network_evaluation())[0]
    assert failed == ["a"], messages
