import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.ngram.family import CASES, Dicts, chain_of, check_case, driven, positions

SHARE, WEIGHT = 0.3, 4.0


class Learnt(Dicts):
    """For each order and bucket, how often the counts had the token, and how often it was used."""

    def __init__(self, min_order, max_order):
        super().__init__(min_order, max_order, self.mixed)
        self.used = {}

    def bucket(self, order, count_V):
        place = order, min(int(np.log2(count_V.sum())), 7), min((count_V > 0).sum(), 5)
        return self.used.setdefault(place, [SHARE * WEIGHT, WEIGHT])

    def mixed(self, order, count_V, before_V, below_V):
        had, used = self.bucket(order, count_V)
        row_V = had / used * count_V / count_V.sum() + (1 - had / used) * below_V
        self.seen.append((self.bucket(order, count_V), had / used * count_V / count_V.sum() / row_V))
        return row_V

    def row(self, lane, own_V):
        self.seen = []
        return super().row(lane, own_V)

    def learn(self, lane, token):
        for bucket, posterior_V in self.seen:
            bucket[0] += posterior_V[token]
            bucket[1] += 1
        super().learn(lane, token)


@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_formulas_and_all_that_a_stage_must_be(case):
    min_order, max_order = CASES[case][3:]
    settings = {"max_order": max_order, "prior_share": SHARE, "prior_weight": WEIGHT}
    check_case(case, "interpolated.Interpolated", Learnt(min_order, max_order), **settings)


def test_a_weight_goes_to_who_is_right():
    """One token follows each: the counts have it once they know, and the network never."""
    settings = {"min_order": 2, "max_order": 2, "prior_share": 0.1, "prior_weight": 1.0, "max_memory_mb": 10}
    chain = chain_of("interpolated.Interpolated", 10, 300, **settings)
    own_IV, _, lane_I, _ = positions(300, 10)
    row_IV = driven(chain, (own_IV, {}, lane_I, np.arange(300) % 10))
    assert row_IV[-1, 299 % 10] > 0.95


def test_a_prior_that_leaves_nothing_to_the_order_below_is_refused():
    node = {"min_order": 2, "max_order": 3, "prior_share": 1.0, "prior_weight": 1.0, "max_memory_mb": 10}
    with pytest.raises(ConfigError, match=r"ngram\.prior_share: 1 leaves nothing to the order below; less than 1"):
        make({"_target_": "pgolf.ngram.interpolated.Interpolated", **node})
