import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.ngram.family import CASES, Dicts, check_case

BETAS = [5.0, 3.0, 0.5, 2.0, 1.0, 0.1]


def steps(min_order):
    def step(order, count_V, before_V, below_V):
        beta = BETAS[order - min_order]
        return (count_V + beta * below_V) / (count_V.sum() + beta)

    return step


@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_formulas_and_all_that_a_stage_must_be(case):
    min_order, max_order = CASES[case][3:]
    check_case(
        case,
        "dirichlet.Dirichlet",
        Dicts(min_order, max_order, steps(min_order)),
        betas=BETAS[: max_order - min_order + 1],
    )


@pytest.mark.parametrize(
    ("betas", "message"),
    [
        ([], r"ngram\.betas: \[\] is no list of numbers above 0"),
        ([1.0, 0.0], r"ngram\.betas: .* is no list of numbers above 0"),
        ([1.0] * 15, "15 from order 3 on go up to 17; 16 is the highest"),
    ],
)
def test_betas_that_cannot_be_are_refused(betas, message):
    with pytest.raises(ConfigError, match=message):
        make({"_target_": "pgolf.ngram.dirichlet.Dirichlet", "min_order": 3, "betas": betas, "max_memory_mb": 10})
