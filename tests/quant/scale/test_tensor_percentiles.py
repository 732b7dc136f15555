"""One percentile for all rows of a tensor: the one with the least error over all of them."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.quant.grid import dequantize_rows, quantize_rows
from tests.quant.nodes import (
    MATRIX,
    by_name,
    calibration,
    child,
    correlated,
    decoded,
    hessian,
    info,
    quantizer,
    scale,
    weights,
)


def two(low):
    """The row's ``low`` percentile and its maximum as the only candidates."""
    return child("scale", "tensor_percentiles", percentiles=[low, 1.0])


def scales_of(w, **changes):
    (stored,) = quantizer("rtn", **changes).quantize({"w": w}, {"w": MATRIX}).tensors
    return stored.arrays["scale"].astype("float64")


# bits 2: codes -1, 0, 1 and scale = clip. Rows of three magnitudes, percentile 0.5: the median is the clip.
WIDE = [1.0, 1.0, 4.0]  # clip 1: error (4-1)² = 9;  clip 4: error 1² + 1² = 2
NARROW = [1.0, 1.0, 1.4]  # clip 1: error 0.4² = 0.16;  clip 1.4: error 0.4² + 0.4² = 0.32


@pytest.mark.parametrize(
    ("rows", "per_tensor", "per_row"),
    [
        ([WIDE, NARROW], [4.0, 1.4], [4.0, 1.0]),  # 9.16 against 2.32: the maximum, also where it hurts
        ([NARROW, NARROW], [1.0, 1.0], [1.0, 1.0]),  # 0.32 against 0.64: the median
    ],
)
def test_the_least_sum_over_the_tensor_chooses_by_hand(rows, per_tensor, per_row):
    w = torch.tensor(rows)
    by_row = child("scale", "percentiles", percentiles=[0.5, 1.0])
    assert scales_of(w, bits=2, scale=two(0.5)) == pytest.approx(per_tensor, rel=1e-3)
    assert scales_of(w, bits=2, scale=by_row) == pytest.approx(per_row, rel=1e-3)


def test_all_rows_take_the_candidate_with_the_least_squared_error():
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(16, 300, generator=generator) * torch.randn(16, 300, generator=generator).exp()
    candidates = scale("tensor_percentiles").candidates(w, 5, info(), None)
    errors = [float((w - dequantize_rows(quantize_rows(w, s, 5), s)).square().sum()) for s in candidates]
    best = candidates[errors.index(min(errors))]
    assert scales_of(w, bits=5, scale="tensor_percentiles") == pytest.approx(best.double().numpy(), rel=0)
    assert len(set(errors)) > 1


def test_in_gptq_the_hessian_weighted_error_of_all_rows_chooses():
    w = torch.randn(24, 32, generator=torch.Generator().manual_seed(5)).exp()
    h = hessian(correlated(32))
    damped = h.double() + 0.01 * h.double().diagonal().mean() * torch.eye(32)
    percentiles = [0.97, 0.99, 1.0]

    def run(option, chosen):
        node = child("scale", option, percentiles=chosen)
        found = quantizer("gptq", bits=3, scale=node).quantize({"w": w}, {"w": MATRIX}, None, calibration({"w": h}))
        error = w.double() - decoded(by_name(found)["w"])
        return float(((error @ damped) * error).sum())

    alone = [run("percentiles", [p]) for p in percentiles]
    assert run("tensor_percentiles", percentiles) == pytest.approx(min(alone), rel=1e-9)
    assert run("percentiles", percentiles) < min(alone)


def test_under_the_legacy_floor_all_candidates_of_small_rows_are_the_same():
    for option, bits in (("tensor_percentiles_legacy", 5), ("tensor_percentiles_pr187", 6)):
        candidates = scale(option).candidates(weights(8, 300), bits, info(), None)
        assert len(candidates) == 5
        assert all(torch.equal(s, torch.full((8,), 1 / (2 ** (bits - 1) - 1)).half()) for s in candidates)


@pytest.mark.parametrize("percentiles", [[], [0.0, 1.0], [1.5], [0.9, 0.9]])
def test_percentiles_must_be_different_and_in_range(percentiles):
    with pytest.raises(ConfigError, match=r"quant\.scale\.percentiles"):
        scale("tensor_percentiles", percentiles=percentiles)
