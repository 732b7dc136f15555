import numpy as np
import pytest

from tests.ngram.family import CASES, Dicts, check_case

DISCOUNT = 0.6


def steps(max_order):
    def step(order, count_V, before_V, below_V):
        c_V = count_V if order == max_order else before_V
        taken_V = np.minimum(c_V, DISCOUNT)
        return (c_V - taken_V + taken_V.sum() * below_V) / c_V.sum()

    return step


@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_formulas_and_all_that_a_stage_must_be(case):
    min_order, max_order = CASES[case][3:]
    check_case(
        case,
        "kneser_ney.KneserNey",
        Dicts(min_order, max_order, steps(max_order)),
        max_order=max_order,
        discount=DISCOUNT,
    )
