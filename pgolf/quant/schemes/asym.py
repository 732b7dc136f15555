"""``asym``, ``asym64``: ``q`` int8 on {-2^(bits-1) .. 2^(bits-1)-1}, one float16 ``scale`` in all or per 64 elements.

    s = fp16(max|w| / (2^(bits-1) - 1/2)),   q = clamp(round(w / s)),   What = q * s

The factors of a published low-rank correction (PR #1797) are stored so. The grid is biased: with two bits the
largest value comes back as 0.67 of itself and its negative as -1.33 (decisions 16); ``half`` is the fair one.
"""

from __future__ import annotations

import math

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
from pgolf.quant.schemes.flat_groups import group_count, grouped, ungrouped

ASYM_GROUP = 64


def quantize_asym(w: Tensor, bits: int, group: int | None) -> tuple[Tensor, Tensor]:
    """Codes int8 of ``w``'s shape and scales float16 [G]; ``group`` None is the whole tensor."""
    top = 1 << (bits - 1)
    w_GN = grouped(w, group or max(1, w.numel()))
    scale_G = (w_GN.abs().amax(dim=1) / (top - 0.5)).clamp_min(SMALLEST_NORMAL_FP16).to(torch.float16)
    q_GN = (w_GN / scale_G.to(w.dtype)[:, None]).round_().clamp_(-top, top - 1).to(torch.int8)
    return ungrouped(q_GN, w.shape), scale_G


def _asym(stream: str, group: int | None) -> Scheme:
    def per_scale(shape: Shape) -> int:
        return group or max(1, math.prod(shape))

    def parts(shape: Shape, bits: int) -> tuple[ArrayPart, ...]:
        return codes(stream, shape), scales(group_count(shape, per_scale(shape)))

    def problem(tensor: StoredTensor) -> str | None:
        if not 2 <= tensor.bits <= 8:
            return f"{tensor.bits} bits (this grid has 2 to 8)"
        top = 1 << (tensor.bits - 1)
        return codes_problem(tensor, -top, top - 1) or scale_problem(tensor)

    def decode(tensor: StoredTensor) -> Tensor:
        q = torch.from_numpy(np.array(tensor.arrays["q"], dtype=np.float32))
        scale_G = torch.from_numpy(np.array(tensor.arrays["scale"], dtype=np.float32))
        return ungrouped(grouped(q, per_scale(tensor.shape)) * scale_G[:, None], tensor.shape)

    return Scheme(parts, problem, decode)


REGISTERED.update(asym=_asym("asym", None), asym64=_asym("asym64", ASYM_GROUP))
