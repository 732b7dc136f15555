import numpy as np
import pytest

from tests.ngram.family import CASES, Dicts, chain_of, check_case, driven, positions


class Longest(Dicts):
    """The longest context seen often enough decides, all others say nothing."""

    def __init__(self, min_order, max_order, min_total, alpha):
        super().__init__(min_order, max_order, None)
        self.min_total, self.alpha = min_total, alpha

    def row(self, lane, own_V):
        for order, context in reversed(self.contexts(lane, self.orders)):
            counts = self.counts[context]
            total = sum(counts.values())
            if total >= self.min_total:
                q_V = np.array([counts[v] / total for v in range(len(own_V))])
                return (1 - self.alpha) * own_V.astype(np.float64) + self.alpha * q_V, (order, total, len(counts))
        return own_V.astype(np.float64), (1, 0, 0)


@pytest.mark.parametrize(("min_total", "alpha"), [(1, 1.0), (3, 0.4)])
@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_formulas_and_all_that_a_stage_must_be(case, min_total, alpha):
    min_order, max_order = CASES[case][3:]
    dicts = Longest(min_order, max_order, min_total, alpha)
    check_case(case, "strict.StrictBackoff", dicts, max_order=max_order, min_total=min_total, alpha=alpha)


def test_what_never_followed_is_left_next_to_nothing_where_the_counts_have_all():
    settings = {"min_order": 2, "max_order": 3, "min_total": 1, "alpha": 1.0, "max_memory_mb": 10}
    chain = chain_of("strict.StrictBackoff", 40, 200, **settings)
    row_IV = driven(chain, positions(200, 40))
    order_I = chain._now.out_SIS[0][:, 0]
    assert (row_IV[order_I > 1] == np.float32(1e-30)).any(-1).mean() > 0.9
