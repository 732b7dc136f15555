"""One step of Muon equals a float64 reference; decay alone shrinks by exactly 1 − lr·wd."""

import copy

import pytest
import torch

from pgolf.core.newton_schulz import COEFFICIENTS
from pgolf.optimizer.decay.decoupled import Decoupled
from pgolf.optimizer.matrix_update import MatrixUpdate
from pgolf.optimizer.muon import Muon
from pgolf.optimizer.normalize.none import NoNormalizer
from pgolf.optimizer.normalize.normuon import NorMuon
from pgolf.optimizer.orthogonal.newton_schulz import NewtonSchulz


def muon(*params, weight_decay=0.0, normalizer=None):
    group = {"params": params, "lr": 0.1, "weight_decay": weight_decay}
    newton_schulz = NewtonSchulz(dtype=torch.float32, steps=5)
    update = MatrixUpdate(newton_schulz, normalizer or NoNormalizer(), nesterov=True)
    return Muon([group], momentum=0.9, update=update, decay=Decoupled())


def reference(w, gradients, lr, momentum, decay):
    a, b, c = COEFFICIENTS
    w, buffer = w.double(), torch.zeros_like(w, dtype=torch.float64)
    for gradient in gradients:
        g = gradient.double()
        buffer = momentum * buffer + g
        x = g + momentum * buffer
        x = x / (x.norm() + 1e-7)
        tall = x.size(0) > x.size(1)
        x = x.T if tall else x
        for _ in range(5):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        x = x.T if tall else x
        w = (1 - lr * decay) * w - lr * max(1.0, w.size(0) / w.size(1)) ** 0.5 * x
    return w.float()


def test_two_steps_equal_the_float64_reference_for_tall_and_wide_matrices():
    for shape in [(48, 12), (12, 48), (16, 16)]:
        p = torch.nn.Parameter(torch.randn(shape))
        gradients = [torch.randn(shape) for _ in range(2)]
        expected = reference(p.detach().clone(), gradients, 0.1, 0.9, 0.04)
        optimizer = muon(p, weight_decay=0.04)
        for gradient in gradients:
            p.grad = gradient.clone()
            optimizer.step()
        torch.testing.assert_close(p.detach(), expected, rtol=2e-4, atol=2e-4)


def test_a_zero_gradient_leaves_only_the_decay():
    p = torch.nn.Parameter(torch.randn(8, 4))
    before = p.detach().clone()
    p.grad = torch.zeros_like(p)
    muon(p, weight_decay=0.5).step()
    torch.testing.assert_close(p.detach(), before * (1 - 0.1 * 0.5))


def test_matrices_of_one_shape_step_as_if_alone():
    together = [torch.nn.Parameter(torch.randn(6, 6)) for _ in range(3)]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in together]
    for p, q in zip(together, alone, strict=True):
        p.grad = torch.randn(6, 6)
        q.grad = p.grad.clone()
        muon(q).step()
    muon(*together).step()
    for p, q in zip(together, alone, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_momentum_is_kept_in_fp32_and_survives_a_state_dict():
    p = torch.nn.Parameter(torch.randn(4, 4))
    p.grad = torch.randn(4, 4)
    first = muon(p)
    first.step()
    second = muon(p)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(second.state[p]["momentum_buffer"], first.state[p]["momentum_buffer"])
    assert first.state[p]["momentum_buffer"].dtype == torch.float32


@pytest.mark.parametrize("normalizer", [NoNormalizer(), NorMuon(beta2=0.9, of="rows")], ids=["none", "normuon"])
def test_a_matrix_without_gradient_is_left_alone_and_its_state_too(normalizer):
    """As a repeat's own MLP before its visit begins: neither decay nor an old momentum may move it."""
    together = [torch.nn.Parameter(torch.randn(6, 6)) for _ in range(3)]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in together]
    optimizer = muon(*together, weight_decay=0.5, normalizer=normalizer)
    singly = [muon(p, weight_decay=0.5, normalizer=normalizer) for p in alone]
    for present in [(0, 1), (0, 1, 2), (1,), (1,), (0, 2), (0, 1, 2)]:
        for i, (p, q) in enumerate(zip(together, alone, strict=True)):
            p.grad = torch.randn(6, 6) if i in present else None
            q.grad = None if p.grad is None else p.grad.clone()
        optimizer.step()
        for i in present:
            singly[i].step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for p, q in zip(together, alone, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-5)
    for p, q, single in zip(together, alone, singly, strict=True):
        for name, value in single.state[q].items():
            torch.testing.assert_close(optimizer.state[p][name], value, rtol=1e-4, atol=1e-5)
