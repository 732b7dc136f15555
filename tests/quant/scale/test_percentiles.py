"""Each row keeps the percentile with the least error; no row is worse off than at its maximum."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.quant.grid import dequantize_rows, quantize_rows
from tests.quant.nodes import (
    MATRIX,
    by_name,
    child,
    decoded,
    entropy,
    info,
    quantizer,
    scale,
    weights,
)


def row_errors(w, option):
    (stored,) = quantizer("rtn", bits=5, scale=option).quantize({"w": w}, {"w": MATRIX}).tensors
    return (decoded(stored) - w.double()).square().sum(dim=1)


def heavy_tailed(rows, columns):
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(rows, columns, generator=generator)
    return w * torch.randn(rows, columns, generator=generator).exp()


def test_no_row_has_a_larger_error_than_at_its_maximum():
    w = heavy_tailed(64, 400)
    best, maximum = row_errors(w, "percentiles"), row_errors(w, child("scale", "percentile", percentile=1.0))
    assert bool((best <= maximum * (1 + 1e-6)).all()) and float(best.sum()) < float(maximum.sum())


def test_every_row_takes_the_best_of_its_candidates():
    w = heavy_tailed(16, 300)
    candidates = scale("percentiles").candidates(w, 5, info(), None)
    errors = torch.stack([(w - dequantize_rows(quantize_rows(w, s, 5), s)).square().sum(dim=1) for s in candidates])
    stored = by_name(quantizer("rtn", bits=5, scale="percentiles").quantize({"w": w}, {"w": MATRIX}))["w"]
    chosen = torch.stack(candidates)[errors.argmin(dim=0), torch.arange(16)]
    assert torch.equal(torch.from_numpy(stored.arrays["scale"]), chosen)
    assert len(errors.argmin(dim=0).unique()) > 1  # not one percentile for the tensor


def test_under_the_legacy_floor_all_candidates_of_small_rows_are_the_same():
    candidates = scale("percentiles_legacy").candidates(weights(8, 300), 6, info(), None)
    assert all(torch.equal(candidates[0], other) for other in candidates)


@pytest.mark.parametrize("percentiles", [[], [0.0, 1.0], [1.5], [0.9, 0.9]])
def test_percentiles_must_be_different_and_in_range(percentiles):
    with pytest.raises(ConfigError, match=r"quant\.scale\.percentiles"):
        scale("percentiles", percentiles=percentiles)


@pytest.mark.parametrize(("bits", "columns"), [(5, 144), (5, 512), (6, 512), (6, 1536), (8, 512)])
def test_the_forecast_meets_the_entropy_of_gaussian_weights(bits, columns):
    rtn = quantizer("rtn", bits=bits, scale="percentiles")
    w = torch.randn(1024, columns, generator=torch.Generator().manual_seed(0))
    (stored,) = rtn.quantize({"w": w}, {"w": MATRIX}).tensors
    forecast = rtn.pipeline.scale.forecast_bits(bits, columns, info())
    assert forecast == pytest.approx(entropy(stored.arrays["q"]), rel=0.02)
