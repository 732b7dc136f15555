"""A row's size is no part of the update: multiplied by 1000 it changes nothing (spec optimizer §9.11)."""

import torch

from pgolf.optimizer.matrix_update import MatrixUpdate
from pgolf.optimizer.normalize.none import NoNormalizer
from pgolf.optimizer.normalize.rows import RowNorms
from pgolf.optimizer.orthogonal.newton_schulz import NewtonSchulz


def first_update(normalizer, gradient):
    update = MatrixUpdate(NewtonSchulz(dtype=torch.float32, steps=5), normalizer, nesterov=True)
    return update(gradient[None].clone(), update.new_state(gradient[None]), 0.9)[0]


def test_a_row_a_thousand_times_as_large_leaves_the_update_unchanged():
    gradient = torch.randn(8, 24)
    scaled = gradient.clone()
    scaled[3] *= 1000
    torch.testing.assert_close(
        first_update(RowNorms(), scaled), first_update(RowNorms(), gradient), rtol=1e-3, atol=1e-4
    )
    plain = first_update(NoNormalizer(), gradient)
    assert (first_update(NoNormalizer(), scaled) - plain).norm() > 0.5 * plain.norm()


def test_a_row_without_gradient_stays_without_update():
    gradient = torch.randn(8, 24)
    gradient[2] = 0
    found = first_update(RowNorms(), gradient)
    assert torch.isfinite(found).all() and found[2].abs().max() < 1e-6 and found[3].abs().max() > 0.01
