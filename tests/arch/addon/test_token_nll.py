"""The chunked loss of each token equals the written-out one, gradients included."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.addon import token_nll as module
from pgolf.arch.addon.token_nll import token_nll


def inputs(scale=3.0):
    generator = torch.Generator().manual_seed(0)
    x = (scale * torch.randn(3, 7, 8, generator=generator)).requires_grad_()
    table = torch.randn(11, 8, generator=generator).requires_grad_()
    targets = torch.randint(0, 11, (3, 7), generator=generator)
    return x, table, targets


def written_out(x, table, targets, cap):
    logits = cap * torch.tanh(x @ table.T / cap)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


@pytest.mark.parametrize("chunk", [11, 44, 1 << 20])
def test_value_and_gradients_equal_the_written_out_loss(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_LOGITS", chunk)
    x, table, targets = inputs()
    weights = torch.rand(3, 7)
    expected, found = (f(x, table, targets, 5.0) for f in (written_out, token_nll))
    torch.testing.assert_close(found, expected)
    for a, b in zip(
        torch.autograd.grad((weights * found).sum(), (x, table)),
        torch.autograd.grad((weights * expected).sum(), (x, table)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_autocast_runs_the_products_in_its_dtype():
    x, table, targets = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        found = token_nll(x, table, targets, 30.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, written_out(x, table, targets, 30.0), rtol=5e-2, atol=2e-1)
    assert all(g.dtype == torch.float32 for g in torch.autograd.grad(found.sum(), (x, table)))


def test_the_operator_is_well_formed():
    x, table, targets = inputs()
    flat = (x.detach().flatten(0, 1).requires_grad_(), table, targets.flatten(), 30.0)
    torch.library.opcheck(module._token_nll, flat)
