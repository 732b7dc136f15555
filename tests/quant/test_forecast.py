"""The Gaussian law foretells the entropy of round-to-nearest within a few percent."""

import math

import pytest
import torch

from pgolf.core.results import ParamSpec
from pgolf.quant.forecast import row_maximum_bits, row_maximum_sigmas
from pgolf.quant.none import NoQuantizer
from pgolf.quant.rtn import RTN

MATRIX = ParamSpec("matrix", "matrix", "mlp")


def entropy(codes):
    counts = torch.bincount(codes.flatten().long() + 128).double()
    shares = counts[counts > 0] / counts.sum()
    return -(shares * shares.log2()).sum().item()


@pytest.mark.parametrize(("bits", "columns"), [(5, 160), (6, 160), (6, 512), (8, 320)])
def test_the_forecast_meets_the_entropy_of_gaussian_weights(bits, columns):
    rtn = RTN(
        bits=bits, embedding_bits=bits, clip_percentile=1.0, scale_floor="smallest_normal", keep="by_role"
    )
    weights = torch.randn(1024, columns, generator=torch.Generator().manual_seed(0))
    (stored,) = rtn.quantize({"w": weights}, {"w": MATRIX}).tensors
    measured = entropy(torch.from_numpy(stored.q))
    assert row_maximum_bits(bits, columns) == pytest.approx(measured, rel=0.02)
    expected_bytes = weights.numel() * measured / 8 + 2 * 1024
    assert rtn.forecast_bytes(MATRIX, weights.shape) == pytest.approx(expected_bytes, rel=0.02)


def test_the_largest_of_one_is_the_median_magnitude():
    assert row_maximum_sigmas(1) == pytest.approx(0.6745, abs=1e-4)


def test_kept_tensors_cost_their_dtype():
    control = ParamSpec("scalar", "keep_fp32", "control")
    rtn = RTN(bits=6, embedding_bits=6, clip_percentile=1.0, scale_floor="smallest_normal", keep="fp16")
    assert rtn.forecast_bytes(control, (3, 5)) == 30
    assert NoQuantizer().forecast_bytes(MATRIX, (4, 5)) == 4 * math.prod((4, 5))
