import pytest

from tests.ngram.family import CASES, Dicts, check_case


def step(order, count_V, before_V, below_V):
    distinct = (count_V > 0).sum()
    return (count_V + distinct * below_V) / (count_V.sum() + distinct)


@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_formulas_and_all_that_a_stage_must_be(case):
    min_order, max_order = CASES[case][3:]
    check_case(case, "witten_bell.WittenBell", Dicts(min_order, max_order, step), max_order=max_order)
