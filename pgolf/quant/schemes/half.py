"""``half_rows``, ``half_columns``: a matrix on a symmetric grid that uses all 2^bits levels, a scale per row or column.

    What = (q + 1/2) * s,   q in {-2^(bits-1) .. 2^(bits-1)-1}

With two bits the levels are -1.5, -0.5, 0.5, 1.5 steps: as many as the published int2 has and the same range, but
unbiased. ``scale`` is float16. Of a few shrunken ranges each line takes the one with the smallest squared error.
"""

# R rows, C columns, L lines (rows or columns), K elements of a line, S shares of the range

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.grid import SMALLEST_NORMAL_FP16
from pgolf.quant.schemes.base import (
    REGISTERED,
    ArrayPart,
    Scheme,
    Shape,
    codes,
    codes_problem,
    scale_problem,
    scales,
)

Lines = Literal["half_rows", "half_columns"]

RANGES = tuple(step / 16 for step in range(16, 3, -1))  # of the line's largest magnitude


def quantize_half(w_RC: Tensor, bits: int, lines: Lines) -> tuple[Tensor, Tensor]:
    """Codes int8 [R, C] and scales float16 [L] of ``w_RC``, which is not empty."""
    w_LK = w_RC if lines == "half_rows" else w_RC.T
    top = 1 << (bits - 1)
    shares_S = torch.tensor(RANGES, dtype=w_RC.dtype, device=w_RC.device) / (top - 0.5)
    widest_SL = shares_S[:, None] * w_LK.abs().amax(dim=1)
    scale_SL = widest_SL.clamp_min(SMALLEST_NORMAL_FP16).to(torch.float16)
    step_SL1 = scale_SL.to(w_RC.dtype)[..., None]
    q_SLK = (w_LK / step_SL1).floor_().clamp_(-top, top - 1)
    error_SL = ((q_SLK + 0.5) * step_SL1 - w_LK).square_().sum(dim=2)
    best_L, line_L = error_SL.argmin(dim=0), torch.arange(len(w_LK), device=w_RC.device)
    q_LK = q_SLK[best_L, line_L].to(torch.int8)
    return (q_LK if lines == "half_rows" else q_LK.T).contiguous(), scale_SL[best_L, line_L]


def _half(name: Lines) -> Scheme:
    axis = 0 if name == "half_rows" else -1

    def parts(shape: Shape, bits: int) -> tuple[ArrayPart, ...]:
        return codes(name, shape), scales(shape[axis] if shape else 1)

    def problem(tensor: StoredTensor) -> str | None:
        if not 1 <= tensor.bits <= 8:
            return f"{tensor.bits} bits (this grid has 1 to 8)"
        if len(tensor.shape) != 2:
            return f"{len(tensor.shape)} dimensions (this scheme is for matrices)"
        top = 1 << (tensor.bits - 1)
        return codes_problem(tensor, -top, top - 1) or scale_problem(tensor)

    def decode(tensor: StoredTensor) -> Tensor:
        q_RC = torch.from_numpy(np.array(tensor.arrays["q"], dtype=np.float32))
        scale_L = torch.from_numpy(np.array(tensor.arrays["scale"], dtype=np.float32))
        return (q_RC + 0.5) * (scale_L[:, None] if axis == 0 else scale_L[None, :])

    return Scheme(parts, problem, decode)


REGISTERED.update(half_rows=_half("half_rows"), half_columns=_half("half_columns"))
