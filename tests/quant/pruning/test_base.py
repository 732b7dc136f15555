"""Which weights count as the smallest."""

import pytest
import torch

from pgolf.quant.pruning.base import Pruning, smallest
from tests.quant.nodes import info

TEN = torch.tensor([[1.0, -2, 3, -4, 5], [6, -7, 8, -9, 10]])


@pytest.mark.parametrize(
    ("fraction", "threshold"),
    [(0.0, 1.0), (0.1, 1.9), (0.25, 3.25), (0.5, 5.5), (0.9, 9.1)],  # 1 + 9 * fraction, between 1, 2 ... 10
)
def test_weights_below_the_interpolated_quantile_are_marked(fraction, threshold):
    assert torch.equal(smallest(TEN, fraction), TEN.abs() < threshold)


def test_where_torch_has_a_quantile_it_is_the_same():
    w = torch.randn(200, 150, generator=torch.Generator().manual_seed(0))
    for fraction in (0.02, 0.03, 0.05, 0.5):
        assert torch.equal(smallest(w, fraction), w.abs() < torch.quantile(w.abs().flatten(), fraction))


def test_of_equal_ones_none_too_many():
    assert not smallest(torch.ones(2, 5), 0.5).any()


def test_more_elements_than_torch_quantile_takes():
    w = torch.arange(2**24 + 10, dtype=torch.int32).to(torch.float64)
    with pytest.raises(RuntimeError, match="too large"):
        torch.quantile(w, 0.03)
    assert int(smallest(w, 0.03).sum()) == int(0.03 * (2**24 + 9)) + 1  # numbers up to the quantile, 0 among them


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), ()], ids=str)
def test_nothing_is_the_smallest_of_one_or_none(shape):
    assert not smallest(torch.ones(shape), 0.5).any()


def test_by_default_everything_stays():
    assert Pruning().pruned(TEN, info()) is TEN and Pruning().zero_codes(TEN, info()) is None
