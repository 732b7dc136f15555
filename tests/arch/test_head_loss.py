"""The chunked loss equals the written-out one, in value and gradient, for any chunking."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.arch import head_loss
from pgolf.arch.head_loss import capped_cross_entropy


def inputs(tokens=37, width=16, vocab=101, scale=4.0):
    generator = torch.Generator().manual_seed(0)
    x = (scale * torch.randn(tokens, width, generator=generator)).requires_grad_()
    table = torch.randn(vocab, width, generator=generator).requires_grad_()
    return x, table, torch.randint(vocab, (tokens,), generator=generator)


def plain(x, table, targets, cap):
    return F.cross_entropy(cap * torch.tanh(x @ table.T / cap), targets)


@pytest.mark.parametrize("chunk", [1, 101 * 5, 1 << 20])
@pytest.mark.parametrize("cap", [2.0, 30.0, 80.0])
def test_value_and_gradients_equal_the_written_out_loss(monkeypatch, chunk, cap):
    monkeypatch.setattr(head_loss, "CHUNK_LOGITS", chunk)
    x, table, targets = inputs()
    expected = plain(x, table, targets, cap)
    expected_grads = torch.autograd.grad(3 * expected, (x, table))
    found = capped_cross_entropy(x, table, targets, cap)
    found_grads = torch.autograd.grad(3 * found, (x, table))
    torch.testing.assert_close(found, expected)
    for a, b in zip(found_grads, expected_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


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
