"""The symmetric integer grid with one float16 scale per row: arithmetic shared by every scheme on it.

    q = clamp(round(W / s), -qmax, qmax),   What = q * s,   qmax = 2^(bits-1) - 1

``s`` is rounded to float16 *before* W is divided by it, so encoder and decoder use the same number.
Rounding is half to even; all arithmetic is float32 and vectorised, on whatever device ``w_RC`` lies.
``q * s`` is exact in float32 (8 by 11 significant bits), hence quantizing What again returns the same q.

Cost in bytes: 1 per weight before compression plus 2 per row. Cost in step time: none.
"""

# R rows (outputs), C columns (inputs)

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

ScaleFloor = Literal["smallest_normal", "legacy"]

SMALLEST_NORMAL_FP16 = 2.0**-14  # 6.1e-5


def qmax(bits: int) -> int:
    """The largest code: 127 for 8 bits, 31 for 6, 15 for 5. The grid is {-qmax .. qmax}."""
    assert 2 <= bits <= 8, f"bits {bits}"
    return (1 << (bits - 1)) - 1


def as_rows(w: Tensor) -> Tensor:
    """``w`` as a matrix [R, C]: the last dimension is C, a vector or a scalar is one row."""
    return w.reshape(row_count(w.shape), w.shape[-1] if w.ndim else 1)


def row_count(shape: Sequence[int]) -> int:
    """How many scales a tensor of ``shape`` has; agrees with ``as_rows``."""
    rows = 1
    for size in tuple(shape)[:-1]:
        rows *= size
    return rows


def row_clip(w_RC: Tensor, percentile: float) -> Tensor:
    """The ``percentile`` (0..1] quantile of |w| in each row [R], linear between order statistics.

    1 is the row maximum. Only the largest values of each row are sorted, so that there is no limit on the
    number of elements (torch.quantile has one, 2^24) and a percentile near 1 costs little more than a maximum.
    """
    columns = w_RC.shape[1]
    if columns == 0:
        return w_RC.new_zeros(w_RC.shape[0])
    magnitude_RC = w_RC.abs()
    position = percentile * (columns - 1)
    below = min(int(position), columns - 1)
    if below == columns - 1:
        return magnitude_RC.amax(dim=1)
    top_RK = magnitude_RC.topk(columns - below, dim=1).values  # descending: the last is order statistic `below`
    return torch.lerp(top_RK[:, -1], top_RK[:, -2], position - below)


def row_scale(clip_R: Tensor, bits: int, floor: ScaleFloor) -> Tensor:
    """Scales float16 [R] that put ``clip_R`` at the end of the grid.

    ``smallest_normal`` floors the scale at the smallest normal float16, 6.1e-5. ``legacy`` floors it at
    1/qmax, which treats every row whose clip is below 1 as if it were 1: all such rows share one step.
    That is what the published int8 baseline and its descendants do; use it only to reproduce them.
    """
    top = qmax(bits)
    lowest = 1.0 / top if floor == "legacy" else SMALLEST_NORMAL_FP16
    return (clip_R / top).clamp_min(lowest).to(torch.float16)


def quantize_rows(w_RC: Tensor, scale_R: Tensor, bits: int) -> Tensor:
    """Codes int8 [R, C] of ``w_RC`` float32 under the stored (float16) scales."""
    top = qmax(bits)
    return (w_RC / scale_R.to(torch.float32)[:, None]).round_().clamp_(-top, top).to(torch.int8)


def dequantize_rows(q_RC: Tensor, scale_R: Tensor) -> Tensor:
    """Weights float32 [R, C]."""
    return q_RC.to(torch.float32) * scale_R.to(torch.float32)[:, None]
