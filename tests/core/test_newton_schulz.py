"""The orthogonaliser: singular values near one, blind to scale, batch equals loop (spec optimizer §9.1)."""

import pytest
import torch

from pgolf.core.newton_schulz import newton_schulz


def matrix(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(256, 64), (64, 256), (128, 16)])
def test_singular_values_land_near_one(shape):
    out = newton_schulz(matrix(*shape)[None], 5, torch.bfloat16)[0]
    values = torch.linalg.svdvals(out)
    assert values.min() >= 0.6 and values.max() <= 1.25


def test_the_scale_of_the_input_does_not_matter():
    u = matrix(64, 16)[None]
    torch.testing.assert_close(
        newton_schulz(u, 5, torch.float32), newton_schulz(1000 * u, 5, torch.float32), rtol=1e-4, atol=1e-5
    )


def test_a_batch_equals_a_loop_and_a_transpose_the_transposed_result():
    batch = torch.stack([matrix(48, 24, s) for s in range(3)])
    together = newton_schulz(batch, 5, torch.float32)
    for u, expected in zip(batch, together, strict=True):
        torch.testing.assert_close(newton_schulz(u[None], 5, torch.float32)[0], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(newton_schulz(u.mT[None], 5, torch.float32)[0].mT, expected, rtol=1e-4, atol=1e-5)


def test_a_zero_matrix_stays_zero():
    assert not newton_schulz(torch.zeros(1, 8, 4), 5, torch.bfloat16).any()
