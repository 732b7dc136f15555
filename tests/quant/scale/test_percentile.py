"""A percentile of each row's magnitudes ends its grid."""

import pytest
import torch

from tests.quant.nodes import child, entropy, info, quantizer, scale, weights

SHAPES = [(5, 160), (6, 160), (6, 512), (8, 320)]


def test_the_row_maximum_lands_on_the_last_code():
    w = weights(8, 50)
    (scale_R,) = scale("percentile", percentile=1.0).candidates(w, 6, info(), None)
    assert torch.equal(scale_R, (w.abs().amax(dim=1) / 31).half())


def test_a_percentile_clips_the_largest_weights_of_a_row():
    w = torch.arange(1.0, 102.0)[None]
    (scale_R,) = scale("percentile", percentile=0.5).candidates(w, 8, info(), None)
    assert float(scale_R) == pytest.approx(51 / 127, rel=1e-3)


def test_the_legacy_floor_gives_small_rows_one_step():
    w = weights(8, 50)
    (scale_R,) = scale("percentile", floor="legacy").candidates(w, 6, info(), None)
    assert scale_R.unique().tolist() == [pytest.approx(1 / 31, rel=1e-3)]


@pytest.mark.parametrize(("bits", "columns"), SHAPES)
@pytest.mark.parametrize("percentile", [1.0, 0.9999984, 0.995])
def test_the_forecast_meets_the_entropy_of_gaussian_weights(bits, columns, percentile):
    rtn = quantizer("rtn", bits=bits, scale=child("scale", "percentile", percentile=percentile))
    w = torch.randn(1024, columns, generator=torch.Generator().manual_seed(0))
    (stored,) = rtn.quantize({"w": w}, {"w": info().spec}).tensors
    forecast = rtn.pipeline.scale.forecast_bits(bits, columns, info())
    assert forecast == pytest.approx(entropy(stored.arrays["q"]), rel=0.02)
