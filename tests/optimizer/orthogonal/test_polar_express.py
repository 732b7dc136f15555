"""The bounds of the spec for five and four steps, by scalars and by matrices; blind to scale; a batch equals a loop."""

import pytest
import torch

from pgolf.optimizer.orthogonal.polar_express import QUINTICS, PolarExpress


@pytest.mark.parametrize(("steps", "low", "high"), [(5, 0.859, 1.141), (4, 0.416, 1.584)])
def test_every_singular_value_from_a_thousandth_on_lands_within_bounds(steps, low, high):
    s = torch.logspace(-3, 0, 20_001, dtype=torch.float64)
    for a, b, c in QUINTICS[:steps]:
        s = a * s + b * s**3 + c * s**5
    assert low - 1e-3 <= s.min() < low + 1e-2 and high - 1e-2 < s.max() <= high + 1e-3


@pytest.mark.parametrize("shape", [(256, 64), (64, 256), (128, 16)])
@pytest.mark.parametrize("margin", [1.0, 1.02])
def test_matrices_land_near_an_orthogonal_one_in_half_precision(shape, margin):
    out = PolarExpress(dtype=torch.bfloat16, steps=5, margin=margin)(torch.randn(1, *shape))[0]
    values = torch.linalg.svdvals(out)
    assert values.min() >= 0.8 and values.max() <= 1.2


def test_scale_batch_and_transpose_do_not_matter():
    express = PolarExpress(dtype=torch.float32, steps=5, margin=1.02)
    u_KMN = torch.randn(3, 48, 24)
    together = express(u_KMN)
    torch.testing.assert_close(express(1000 * u_KMN), together, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(express(u_KMN.mT).mT, together, rtol=1e-3, atol=1e-4)
    for u, expected in zip(u_KMN, together, strict=True):
        torch.testing.assert_close(express(u[None])[0], expected, rtol=1e-3, atol=1e-4)
    assert not express(torch.zeros(1, 8, 4)).any()


def test_the_largest_value_there_can_be_does_not_run_away_in_half_precision():
    """A matrix of rank one has its whole norm in one singular value, which rounding may lift above 1."""
    u = torch.outer(torch.randn(64), torch.randn(32))[None]
    for margin in (1.0, 1.02):
        value = torch.linalg.svdvals(PolarExpress(dtype=torch.bfloat16, steps=5, margin=margin)(u)[0])[0]
        assert 0.8 <= value <= 1.2
