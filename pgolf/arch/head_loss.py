"""Cross-entropy of capped logits without ever holding all logits: N tokens by V words, a chunk at a time.

Shapes: N tokens, D model, V vocab.

``z = c·tanh(xEᵀ/c)``, loss = mean(ln Σ exp z − z_target). As |z| ≤ c, the exponentials need no maximum
subtracted in fp32 (c ≤ 80), so each logit costs one tanh and one exponential; the gradients
``(softmax(z) − 1_target)·(1 − tanh²)/N`` are made in the same visit, while the chunk is still in the cache: on a CPU by
``head_kernels``, row by row in place, elsewhere by torch's own operators. Both equal ``F.cross_entropy`` of the
written-out logits up to rounding (a test). One opaque operator, so that compiled graphs stay whole. Cost: no bytes; on
one core at laptop size the head takes 0.4 of the time that it takes by torch's operators, its products included.

A compiled model on a GPU has the logits written out instead: there the compiler makes one pass of all that follows
the product, while chunks are some hundred launches each of a dozen kernels. On an H100, 65,536 tokens of 8,192 words:
4.5 ms and 1.6 GB; in chunks of 2²⁰ logits 212 ms, of 2²⁶ 23 ms and 1.5 GB.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.head_kernels import visit_bf16, visit_fp32
from pgolf.core.threads import threaded

CHUNK_LOGITS = 1 << 20  # logits per chunk: 4 MB in fp32, within a second-level cache or little more
GPU_CHUNK_LOGITS = 1 << 26  # 256 MB, where a launch is what costs
VISITED_LOGITS = 1 << 21  # where a visit needs no room beside them
LARGEST_CAP = 80.0  # exp(80) and a sum over 65,536 words of it stay finite in fp32


@torch.library.custom_op("pgolf::capped_cross_entropy", mutates_args=())
def _capped_cross_entropy(
    x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss (fp32 scalar) and its gradients with respect to ``x`` and ``table`` (their dtypes; fp32 sums)."""
    tokens, vocab = x_ND.size(0), table_VD.size(0)
    visited = x_ND.device.type == "cpu" and x_ND.dtype in _VISITS
    visit = _visit if visited else _plain_visit
    plain = GPU_CHUNK_LOGITS if x_ND.is_cuda else CHUNK_LOGITS
    rows = max(1, (VISITED_LOGITS if visited else plain) // vocab)
    grad_x_ND = torch.empty_like(x_ND)
    grad_table_VD = torch.zeros(table_VD.shape, dtype=torch.float32, device=x_ND.device)
    total = torch.zeros((), dtype=torch.float64, device=x_ND.device)
    for start in range(0, tokens, rows):
        x = x_ND[start : start + rows]
        loss, grad = visit(x @ table_VD.T, targets_N[start : start + rows], cap, tokens)
        total += loss
        grad_x_ND[start : start + rows] = grad @ table_VD
        grad_table_VD += (grad.T @ x).float()
    return (total / tokens).float(), grad_x_ND, grad_table_VD.to(table_VD.dtype)


def _plain_visit(logits_NV: Tensor, targets_N: Tensor, cap: float, tokens: int) -> tuple[Tensor, Tensor]:
    """Sum of a chunk's losses, fp64, and what each logit adds to the mean's gradient over ``tokens``."""
    targets_N1 = targets_N[:, None]
    tanh = logits_NV.float().div_(cap).tanh_()
    weights = (tanh * cap).exp_()
    sums = weights.sum(-1, keepdim=True)
    total = (sums.log() - cap * tanh.gather(-1, targets_N1)).sum(dtype=torch.float64)
    weights.div_(sums).scatter_add_(-1, targets_N1, weights.new_full((), -1.0).expand_as(targets_N1))
    weights.mul_(tanh.square_().neg_().add_(1.0)).div_(tokens)
    return total, weights.to(logits_NV.dtype)


def _visit(logits_NV: Tensor, targets_N: Tensor, cap: float, tokens: int) -> tuple[Tensor, Tensor]:
    """The same by a compiled kernel, a share of the rows on each of torch's threads; overwrites the logits."""
    kernel, as_numpy = _VISITS[logits_NV.dtype]
    numbers_NV = logits_NV.contiguous().view(as_numpy).numpy()
    target_N, nll_N = targets_N.contiguous().numpy(), np.empty(len(targets_N))
    workers = torch.get_num_threads()
    share = -(-len(nll_N) // workers)
    parts = [slice(start, start + share) for start in range(0, len(nll_N), share)]
    scale = np.float32(1 / tokens)
    threaded(lambda p: kernel(numbers_NV[p], target_N[p], np.float32(cap), scale, nll_N[p]), parts, workers)
    return torch.tensor(nll_N.sum()), torch.from_numpy(numbers_NV).view(logits_NV.dtype)


_VISITS = {torch.bfloat16: (visit_bf16, torch.int16), torch.float32: (visit_fp32, torch.float32)}


@_capped_cross_entropy.register_fake
def _(x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float) -> tuple[Tensor, Tensor, Tensor]:
    return x_ND.new_empty((), dtype=torch.float32), torch.empty_like(x_ND), torch.empty_like(table_VD)


def _keep_gradients(ctx, inputs, output) -> None:
    ctx.save_for_backward(output[1], output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_loss, *_):
    grad_x_ND, grad_table_VD = ctx.saved_tensors
    return (
        grad_x_ND * grad_loss.to(grad_x_ND.dtype),
        grad_table_VD * grad_loss.to(grad_table_VD.dtype),
        None,
        None,
    )


_capped_cross_entropy.register_autograd(_backward, setup_context=_keep_gradients)


def capped_cross_entropy(x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float) -> Tensor:
    """Mean cross-entropy in nats of ``cap·tanh(x tableᵀ/cap)`` against ``targets`` (fp32 scalar).

    Under autocast the matrix products run in its dtype, as ``F.linear`` would.
    """
    device = x_ND.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x_ND, table_VD = x_ND.to(dtype), table_VD.to(dtype)
    if x_ND.is_cuda and torch.compiler.is_compiling():
        return written_out(x_ND, table_VD, targets_N, cap)
    return _capped_cross_entropy(x_ND, table_VD, targets_N, cap)[0]


def written_out(x_ND: Tensor, table_VD: Tensor, targets_N: Tensor, cap: float) -> Tensor:
    """The same from all logits at once, by operators that a compiler sees."""
    logits_NV = (x_ND @ table_VD.T).float()
    return F.cross_entropy(cap * torch.tanh(logits_NV / cap), targets_N)
