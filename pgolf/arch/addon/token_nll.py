"""The capped head's loss of each token, for auxiliary losses that weigh tokens: chunked, never all logits.

Shapes: N tokens, D model, V vocab.

``nll_n = ln Σ exp z_n − z_n[target]``, ``z = c·tanh(xEᵀ/c)``. As ``pgolf.arch.head_loss``, but the weights of the
tokens are known only when gradients arrive, so the backward pass makes the logits again.
Cost: no bytes; one product of the head's size forward and three backward.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgolf.arch.head_loss import CHUNK_LOGITS


@torch.library.custom_op("pgolf::capped_token_nll", mutates_args=())
def _token_nll(x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float) -> Tensor:
    """fp32 [N], in nats."""
    rows = max(1, CHUNK_LOGITS // table_VD.size(0))
    nll_N = torch.empty(x_ND.size(0), dtype=torch.float32, device=x_ND.device)
    for start in range(0, x_ND.size(0), rows):
        part = slice(start, start + rows)
        z = (x_ND[part] @ table_VD.T).float().div_(cap).tanh_().mul_(cap)
        target = z.gather(-1, targets_N[part, None])[:, 0]
        nll_N[part] = z.exp_().sum(-1).log() - target
    return nll_N


@_token_nll.register_fake
def _(x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float) -> Tensor:
    return x_ND.new_empty(x_ND.size(0), dtype=torch.float32)


@torch.library.custom_op("pgolf::capped_token_nll_backward", mutates_args=())
def _token_nll_backward(
    grad_N: Tensor, x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to ``x`` and ``table`` (their dtypes; the table's summed in fp32)."""
    rows = max(1, CHUNK_LOGITS // table_VD.size(0))
    grad_x_ND = torch.empty_like(x_ND)
    grad_table_VD = torch.zeros(table_VD.shape, dtype=torch.float32, device=x_ND.device)
    for start in range(0, x_ND.size(0), rows):
        part = slice(start, start + rows)
        x, targets = x_ND[part], targets_N[part, None]
        tanh = (x @ table_VD.T).float().div_(cap).tanh_()
        weights = (tanh * cap).exp_()
        weights.div_(weights.sum(-1, keepdim=True))
        weights.scatter_add_(-1, targets, weights.new_full((), -1.0).expand_as(targets))
        weights.mul_(tanh.square_().neg_().add_(1.0)).mul_(grad_N[part, None])
        grad = weights.to(x.dtype)
        grad_x_ND[part] = grad @ table_VD
        grad_table_VD += (grad.T @ x).float()
    return grad_x_ND, grad_table_VD.to(table_VD.dtype)


@_token_nll_backward.register_fake
def _(grad_N: Tensor, x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x_ND), torch.empty_like(table_VD)


def _keep_inputs(ctx, inputs, output) -> None:
    x_ND, table_VD, targets_N, ctx.cap = inputs
    ctx.save_for_backward(x_ND, table_VD, targets_N)


def _backward(ctx, grad_N):
    return *_token_nll_backward(grad_N.contiguous(), *ctx.saved_tensors, ctx.cap), None, None


_token_nll.register_autograd(_backward, setup_context=_keep_inputs)


def token_nll(x_BTD: Tensor, table_VD: Tensor, targets_BT: Tensor, cap: float) -> Tensor:
    """``−ln p(target)`` in nats under ``softmax(cap·tanh(x tableᵀ/cap))``, fp32 [B, T].

    Under autocast the matrix products run in its dtype, as ``F.linear`` would.
    """
    device = x_BTD.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x_BTD, table_VD = x_BTD.to(dtype), table_VD.to(dtype)
    return _token_nll(x_BTD.flatten(0, 1), table_VD, targets_BT.flatten(), cap).view(targets_BT.shape)
