"""The chunked loss equals the written-out one, in value and gradient, for any chunking."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pgolf.arch import head_kernels, head_loss
from pgolf.arch.head_loss import capped_cross_entropy


def inputs(tokens=37, width=16, vocab=101, scale=4.0):
    generator = torch.Generator().manual_seed(0)
    x = (scale * torch.randn(tokens, width, generator=generator)).requires_grad_()
    table = torch.randn(vocab, width, generator=generator).requires_grad_()
    return x, table, torch.randint(vocab, (tokens,), generator=generator)


def plain(x, table, targets, cap):
    return F.cross_entropy(cap * torch.tanh(x @ table.T / cap), targets)


@pytest.mark.parametrize("visits", [{}, head_loss._VISITS], ids=["torch", "compiled"])
@pytest.mark.parametrize("chunk", [1, 101 * 5, 1 << 20])
@pytest.mark.parametrize("cap", [2.0, 30.0, 80.0])
def test_value_and_gradients_equal_the_written_out_loss(monkeypatch, visits, chunk, cap):
    monkeypatch.setattr(head_loss, "_VISITS", visits)
    monkeypatch.setattr(head_loss, "CHUNK_LOGITS", chunk)
    monkeypatch.setattr(head_loss, "VISITED_LOGITS", chunk)
    x, table, targets = inputs()
    expected = plain(x, table, targets, cap)
    expected_grads = torch.autograd.grad(3 * expected, (x, table))
    found = capped_cross_entropy(x, table, targets, cap)
    found_grads = torch.autograd.grad(3 * found, (x, table))
    torch.testing.assert_close(found, expected)
    for a, b in zip(found_grads, expected_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("cap", [2.0, 30.0, 80.0])
def test_on_cuda_compiled_and_in_chunks_value_and_gradients_equal_the_written_out_loss(cap):
    x, table, targets = inputs()
    expected = plain(x, table, targets, cap)
    expected_grads = torch.autograd.grad(3 * expected, (x, table))
    x, table = (t.detach().cuda().requires_grad_() for t in (x, table))
    for loss in (capped_cross_entropy, torch.compile(capped_cross_entropy, dynamic=False)):
        found = loss(x, table, targets.cuda(), cap)
        torch.testing.assert_close(found.cpu(), expected)
        for a, b in zip(torch.autograd.grad(3 * found, (x, table)), expected_grads, strict=True):
            torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=1e-6)


def test_what_a_gpu_compiles_equals_the_written_out_loss():
    x, table, targets = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = (
            f(x.bfloat16(), table.bfloat16(), targets, 30.0) for f in (head_loss.written_out, capped_cross_entropy)
        )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    grads = [torch.autograd.grad(loss, (x, table)) for loss in (found, expected)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-2, atol=1e-4)


def test_the_largest_cap_stays_finite():
    x, table, targets = inputs(scale=1e4)
    loss = capped_cross_entropy(x, table, targets, head_loss.LARGEST_CAP)
    assert torch.isfinite(loss) and all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, (x, table)))


def test_autocast_runs_the_products_in_its_dtype():
    x, table, targets = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        loss = capped_cross_entropy(x, table, targets, 30.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain(x, table, targets, 30.0), rtol=2e-2, atol=2e-2)
    assert all(g.dtype == torch.float32 for g in torch.autograd.grad(loss, (x, table)))


def test_the_operator_is_well_formed():
    x, table, targets = inputs()
    torch.library.opcheck(head_loss._capped_cross_entropy, (x, table, targets, 30.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_ways_are_equally_far_from_the_exact_gradient_of_the_same_logits(dtype):
    """What rounding leaves: a visit computes in fp32 whatever the logits are in."""
    x, table, targets = inputs(tokens=64, vocab=4096)
    logits_NV = (x @ table.T).detach().to(dtype)
    exact_NV = logits_NV.double().requires_grad_()
    loss = F.cross_entropy(30 * torch.tanh(exact_NV / 30), targets, reduction="sum")
    (exact,) = torch.autograd.grad(loss / 64, exact_NV)
    errors = []
    for visit in (head_loss._plain_visit, head_loss._visit):
        total, grad = visit(logits_NV.clone(), targets, 30.0, 64)
        torch.testing.assert_close(total, loss.detach(), rtol=1e-6, atol=0)
        errors.append(((grad.double() - exact).norm() / exact.norm()).item())
    assert errors[1] < max(1.01 * errors[0], 3e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [1, 3, 64])
def test_rows_are_the_same_numbers_on_any_number_of_threads(monkeypatch, dtype, tokens):
    x, table, targets = inputs(tokens=tokens)
    logits_NV, found = (x @ table.T).detach().to(dtype), []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(head_loss._visit(logits_NV.clone(), targets, 30.0, tokens))
    assert all(torch.equal(loss, found[0][0]) and torch.equal(grad, found[0][1]) for loss, grad in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_logit_that_is_no_number_is_seen_in_the_loss_and_infinite_ones_are_capped(dtype):
    logits_NV, targets = torch.zeros(2, 37).to(dtype), torch.tensor([3, 4])
    logits_NV[0, 5] = float("nan")  # no target
    total, grad = head_loss._visit(logits_NV.clone(), targets, 30.0, 2)
    assert total.isnan() and grad[0].isnan().all() and grad[1].isfinite().all()
    logits_NV[0, 5], logits_NV[1, 4] = float("inf"), float("-inf")
    total, grad = head_loss._visit(logits_NV.clone(), targets, 30.0, 2)
    expected = F.cross_entropy(30 * torch.tanh(logits_NV.float() / 30), targets, reduction="sum")
    torch.testing.assert_close(total.float(), expected)
    assert grad.isfinite().all() and max(abs(grad[0, 5]), abs(grad[1, 4])) < 1e-30


def test_powers_of_two_are_exact_to_a_rounding():
    x = np.linspace(-126, 127, 100_001, dtype=np.float32)
    found = np.array([head_kernels._power_of_two(one) for one in x[::10]])
    np.testing.assert_allclose(found, np.exp2(x[::10].astype(np.float64)), rtol=1.5e-7)
