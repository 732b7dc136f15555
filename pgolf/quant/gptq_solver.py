"""GPTQ for one matrix: the factor of its Hessian, and the column-by-column rounding with error feedback.

Shapes: R rows (outputs), C columns (inputs), K candidate scales of a row, N rows solved at once, K for each row of a
chunk.

With H⁻¹ = UᵀU, U upper triangular, the columns are rounded from left to right and what each loses is taken out
of those to its right: q_j = clamp(round(w_j / s)), e_j = (w_j − s q_j) / U_jj, W_{j:} −= e_j ⊗ U_{j, j:}. Rows do not
depend on each other, so all rows and candidates go at once. Inside a block of columns the update is made by
halves, so that nearly all of it is matrix products; the columns to the right of a block are updated once per block.

Arithmetic is float64, which makes codes independent of block size, thread count and processor but for ties that
differ by 1e-12; only the quotient w / s is float32, so that a column nothing was fed into rounds as in
``quantize_rows``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pgolf.quant.errors import BadHessian, HessianNotPD
from pgolf.quant.grid import qmax

Report = Callable[[str], None]

STRONGER_DAMPING = (0.01, 0.03, 0.1, 0.3)
_LEAF = 16  # columns updated one by one
_CHUNK = 1 << 21  # weights solved at once: what a processor's cache holds of the blocks in work


@dataclass(frozen=True, slots=True)
class Factor:
    """``ratio_CC`` is U with its rows divided by ``diagonal_C``, U's diagonal; both in the order of ``order_C``.

    ``order_C``: the columns as they are rounded. ``dead_C``: columns whose input was always zero, in that order.
    ``damping``: what was added to the diagonal, as a share of its mean over the columns that are not dead.
    """

    ratio_CC: Tensor
    diagonal_C: Tensor
    order_C: Tensor
    dead_C: Tensor
    damping: float


def factor_hessian(name: str, hessian_CC: Tensor, *, damping: float, act_order: bool, report: Report) -> Factor:
    """Damp once, order by falling diagonal (``act_order``), factor in float64.

    A failed factorisation is tried again with ``STRONGER_DAMPING``, each time reported. Raises BadHessian for
    values that are not finite or no sums of squares, HessianNotPD.
    """
    if not bool(torch.isfinite(hessian_CC).all()):
        raise BadHessian(name, "it holds NaN or infinity")
    h_CC = hessian_CC.to(torch.float64)
    diagonal_C = h_CC.diagonal()
    if bool((diagonal_C < 0).any()):
        raise BadHessian(name, "its diagonal, a sum of squares, is negative in places")
    # before damping, which would hide them: a column nothing was ever fed into tells nothing of its weights
    dead_C = diagonal_C == 0
    live = diagonal_C[~dead_C]
    mean = float(live.mean()) if live.numel() else 1.0
    columns = len(h_CC)
    order_C = (
        # columns that matter most come first, while most others are left to make up for them; stable, so that ties
        # fall alike everywhere
        torch.argsort(diagonal_C, descending=True, stable=True)
        if act_order
        else torch.arange(columns, device=h_CC.device)
    )
    dead_C = dead_C[order_C]
    ordered_CC = h_CC[order_C][:, order_C].masked_fill_(dead_C[:, None] | dead_C, 0)
    tried = (damping, *(d for d in STRONGER_DAMPING if d > damping))
    for index, share in enumerate(tried):
        damped_CC = ordered_CC.clone()
        # a dead column is out of the others' way whatever stands there; the mean keeps the factor well scaled
        damped_CC.diagonal().add_(dead_C * mean + share * mean)
        upper_CC = _upper_factor(damped_CC)
        if upper_CC is not None:
            diagonal_C = upper_CC.diagonal()
            return Factor(upper_CC / diagonal_C[:, None], diagonal_C.clone(), order_C, dead_C, share)
        if index + 1 < len(tried):
            report(
                f"quant: the Hessian of {name!r} is not positive definite with damping {share:g}; "
                f"trying {tried[index + 1]:g}"
            )
    raise HessianNotPD(name, tried)


def _upper_factor(h_CC: Tensor) -> Tensor | None:
    """U, upper triangular, with H⁻¹ = UᵀU; None where H is not positive definite.

    One Cholesky from the far end, J H J = L Lᵀ with J the reversal, gives H = M Mᵀ, M = J L J upper triangular,
    and U = M⁻¹ (#1948); the usual route factors twice and inverts in between.
    """
    lower_CC, info = torch.linalg.cholesky_ex(h_CC.flip(0, 1))
    if int(info) or not bool(torch.isfinite(lower_CC).all()):
        return None
    identity_CC = torch.eye(len(h_CC), dtype=h_CC.dtype, device=h_CC.device)
    return torch.linalg.solve_triangular(lower_CC.flip(0, 1), identity_CC, upper=True)


def solve(
    w_RC: Tensor,
    scale_KR: Tensor,
    bits: int,
    factor: Factor,
    *,
    block_columns: int,
    zero_RC: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Codes int8 [K, R, C] of ``w_RC`` float32 under each candidate scale, and their losses [K, R] float64.

    ``zero_RC`` marks weights that must become 0. The loss of a row is (w − ŵ) H (w − ŵ)ᵀ under the damped Hessian,
    which is the sum of squares of the e_j that the update forms anyway. Dead columns become 0.
    """
    candidates, rows = scale_KR.shape
    columns = w_RC.shape[1]
    w_CR = w_RC.T.to(torch.float64)[factor.order_C]
    w_CR[factor.dead_C] = 0  # zeros are what costs least where any value would do
    keep_CR = None if zero_RC is None else (~zero_RC).T.to(torch.float32)[factor.order_C]
    q_KCR = torch.empty(candidates, columns, rows, dtype=torch.int8, device=w_RC.device)
    loss_KR = torch.empty(candidates, rows, dtype=torch.float64, device=w_RC.device)
    step = max(1, _CHUNK // max(1, columns * candidates))
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        keep_CN = None if keep_CR is None else keep_CR[:, part].repeat(1, candidates)
        scale_N = scale_KR[:, part].reshape(-1).to(torch.float32)
        rounding = _Rounding(w_CR[:, part].repeat(1, candidates), scale_N, keep_CN, qmax(bits), factor)
        q_CN = rounding.run(block_columns)
        q_KCR[:, factor.order_C, part] = q_CN.view(columns, candidates, -1).transpose(0, 1)
        loss_KR[:, part] = rounding.loss_N.view(candidates, -1)
    return q_KCR.transpose(1, 2).contiguous(), loss_KR


class _Rounding:
    """The columns of one chunk of rows, transposed so that a column lies in one piece; consumed from the top."""

    def __init__(self, w_CN: Tensor, scale_N: Tensor, keep_CN: Tensor | None, top: int, factor: Factor) -> None:
        self.w_CN, self.scale_N, self.keep_CN, self.top = w_CN, scale_N, keep_CN, top
        self.wide_scale_N = scale_N.to(torch.float64)
        self.ratio_CC, self.diagonal_C = factor.ratio_CC, factor.diagonal_C
        self.q_CN = torch.empty_like(w_CN, dtype=torch.int8)
        self.loss_N = torch.zeros_like(self.wide_scale_N)

    def run(self, block_columns: int) -> Tensor:
        columns = len(self.w_CN)
        for start in range(0, columns, block_columns):
            stop = min(start + block_columns, columns)
            self._columns(start, stop)
            self._feed(start, stop, columns)
            # e = (w - s q) / U_jj: with H⁻¹ = UᵀU the row's (w - ŵ) H (w - ŵ)ᵀ is the sum of e², so it comes for free
            self.loss_N += (self.w_CN[start:stop] / self.diagonal_C[start:stop, None]).square_().sum(dim=0)
        return self.q_CN

    def _columns(self, start: int, stop: int) -> None:
        """Round columns ``start..stop``; each is replaced by what it lost, w − s q."""
        if stop - start > _LEAF:
            middle = (start + stop) // 2
            self._columns(start, middle)
            self._feed(start, middle, stop)
            self._columns(middle, stop)
            return
        for j in range(start, stop):
            w_N = self.w_CN[j]
            # in float32 like quantize_rows, so that both round a column alike into which nothing was fed
            q_N = (w_N.to(torch.float32) / self.scale_N).round_().clamp_(-self.top, self.top)
            if self.keep_CN is not None:
                q_N *= self.keep_CN[j]
            self.q_CN[j] = q_N
            w_N.addcmul_(q_N.to(torch.float64), self.wide_scale_N, value=-1)
            if j + 1 < stop:
                self.w_CN[j + 1 : stop].addr_(self.ratio_CC[j, j + 1 : stop], w_N, alpha=-1)

    def _feed(self, start: int, middle: int, stop: int) -> None:
        """Take what columns ``start..middle`` lost out of columns ``middle..stop``."""
        if middle < stop:
            self.w_CN[middle:stop].addmm_(self.ratio_CC[start:middle, middle:stop].T, self.w_CN[start:middle], alpha=-1)
