"""The update of a stack is that of each matrix alone; with every part it equals a float64 reference."""

import pytest
import torch

from pgolf.optimizer.matrix_update import MatrixUpdate, shape_scale
from pgolf.optimizer.normalize.none import NoNormalizer
from pgolf.optimizer.normalize.normuon import NorMuon
from pgolf.optimizer.normalize.rows import RowNorms
from pgolf.optimizer.orthogonal.newton_schulz import NewtonSchulz
from pgolf.optimizer.orthogonal.polar_express import QUINTICS, PolarExpress

FP32 = {"dtype": torch.float32}
SHAPES = [(12, 48), (48, 12), (16, 16)]


def updates():
    orthogonals = [NewtonSchulz(**FP32, steps=5), PolarExpress(**FP32, steps=5, margin=1.02)]
    normalizers = [NoNormalizer(), RowNorms(), NorMuon(beta2=0.9, of="rows"), NorMuon(beta2=0.9, of="longer_side")]
    return [MatrixUpdate(o, n, nesterov) for o in orthogonals for n in normalizers for nesterov in (True, False)]


def exact(update, gradients):
    """The last update in float64, by singular values and plain loops."""
    express = isinstance(update.orthogonal, PolarExpress)
    quintics, margin = (QUINTICS, 1.02) if express else ([(3.4445, -4.7750, 2.0315)] * 5, 1.0)
    momentum, running = torch.zeros(gradients[0].shape, dtype=torch.float64), 0.0
    for gradient in gradients:
        g = gradient.double()
        momentum = 0.9 * momentum + g
        u = g + 0.9 * momentum if update.nesterov else momentum
        if isinstance(update.normalizer, RowNorms):
            u = torch.stack([row / max(float(row.square().sum()) ** 0.5, 1e-7) for row in u])
        left, s, right = torch.linalg.svd(u / (margin * u.square().sum().sqrt()), full_matrices=False)
        for a, b, c in quintics:
            s = a * s + b * s**3 + c * s**5
        o = left @ torch.diag(s) @ right
        if isinstance(update.normalizer, NorMuon):
            columns = update.normalizer.of == "longer_side" and o.size(0) < o.size(1)
            lines = o.T if columns else o
            mean = torch.tensor([float(sum(x * x for x in line)) / len(line) for line in lines])
            running = 0.9 * running + 0.1 * mean.double()
            even = torch.stack([line / max(float(v), 1e-10) ** 0.5 for line, v in zip(lines, running, strict=True)])
            even = even * (o.square().sum() / even.square().sum()).sqrt()
            o = even.T if columns else even
    return o.float()


@pytest.mark.parametrize("shape", SHAPES)
def test_two_updates_equal_the_float64_reference(shape):
    for update in updates():
        gradients = [torch.randn(shape), torch.randn(shape)]
        state = update.new_state(gradients[0][None])
        for gradient in gradients:
            found = update(gradient[None].clone(), state, 0.9)[0]
        torch.testing.assert_close(found, exact(update, gradients), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stack_is_updated_as_each_alone_and_its_state_too(shape):
    gradients = torch.randn(2, 3, *shape)
    for update in updates():
        together = update.new_state(gradients[0])
        alone = [update.new_state(gradients[0, k : k + 1]) for k in range(3)]
        for step in range(2):
            found = update(gradients[step].clone(), together, 0.9)
            for k in range(3):
                single = update(gradients[step, k : k + 1].clone(), alone[k], 0.9)
                torch.testing.assert_close(found[k : k + 1], single, rtol=1e-4, atol=1e-5)
        for name, value in together.items():
            assert value.dtype == torch.float32 and value.size(0) == 3
            torch.testing.assert_close(value, torch.cat([state[name] for state in alone]), rtol=1e-4, atol=1e-5)


def test_no_gradient_is_no_update_and_no_number_is_lost():
    for update in updates():
        zero = torch.zeros(2, 6, 4)
        state = update.new_state(zero)
        for _ in range(3):
            assert not update(zero, state, 0.9).any()
        mixed = torch.stack([torch.zeros(6, 4), torch.randn(6, 4)])
        found = update(mixed, state, 0.9)
        assert not found[0].any() and found[1].any() and torch.isfinite(found).all()


def test_tall_matrices_alone_are_scaled():
    assert shape_scale(torch.Size([1536, 512])) == pytest.approx(3**0.5)
    assert shape_scale(torch.Size([512, 1536])) == shape_scale(torch.Size([7, 7])) == 1.0
