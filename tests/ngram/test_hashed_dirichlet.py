"""The recursion over hashed counters beside dicts of the same keys; its rows are no distributions."""

import numpy as np
import pytest

from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.stage import Chain
from tests.eval.stages import mean
from tests.ngram.family import check_causality, driven, positions
from tests.ngram.test_hashed import NODE, Published
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged

BETAS = [5.0, 2.0, 1.0, 0.5]


def recursion(bits=6):
    node = {key: NODE[key] for key in ("min_order", "multipliers", "beyond", "max_memory_mb")}
    node |= {"betas": BETAS, "chunk_tokens": 5, "bucket_bits": bits}
    return make({"_target_": "pgolf.ngram.hashed_dirichlet.HashedDirichlet", **node})


class Recursion(Published):
    def row(self, lane, own_V):
        row_V, known, past = own_V.astype(np.float64), (1, 0, 0), self.past[lane]
        for order, beta in zip(range(2, 6), BETAS, strict=True):
            if len(past) >= order - 1:
                context = past[len(past) - order + 1 :]
                count = self.context[self.rank, order][self.keys(context, 0)[0]]
                if count:
                    both_V = np.array(
                        [self.pair[self.rank, order][self.keys(context, v)[1]] for v in range(len(own_V))]
                    )
                    row_V = (np.minimum(both_V, count) + beta * row_V) / (count + beta)
                    known = (order, count, 0)
        return row_V, known


@pytest.mark.parametrize("lanes", [1, 2])
def test_rows_are_the_published_claims(lanes):
    given_positions = own_IV, _, lane_I, token_I = positions(200, 13, lanes)

    def fresh():
        return Chain(recursion().stages(Facts(13, 1, 201, lanes=lanes)), ())

    chain, reference = fresh(), Recursion(chunk_tokens=5)
    row_IV = driven(chain, given_positions)
    for i in range(200):
        row_V, known = reference.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(row_IV[i], row_V, rtol=1e-5)
        assert tuple(chain._now.out_SIS[0][i]) == known
        reference.learn(lane_I[i], int(token_I[i]))
    alone, each = fresh(), np.arange(200)
    alone.reserve(200)
    assert np.array_equal(alone.score(own_IV[each, token_I], {}, lane_I, token_I), row_IV[each, token_I])
    check_causality(fresh, row_IV, given_positions)


def test_the_certificate_refuses_it_by_its_sums_though_it_claims_less():
    claimed, failed, messages = judged(network_evaluation(ngram=recursion(9), mixer=mean()))
    assert claimed < judged(network_evaluation())[0]
    assert failed == ["a"], messages
