"""``ternary<n>``: ``q`` int8 on {-1, 0, 1}, ``scale`` float16, one per group of n flattened elements.

    What = q * scale / mean|q|

The scale is the group's mean magnitude, *not* its level: dividing by mean|q| gives the zeros' share back to the
others, so that What has the mean magnitude that was stored, and quantizing it again changes nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.schemes.base import (
    REGISTERED,
    ArrayPart,
    Scheme,
    Shape,
    codes,
    codes_problem,
    no_bits_problem,
    scale_problem,
    scales,
)
from pgolf.quant.schemes.flat_groups import group_count, grouped, lengths, ungrouped


def scheme_name(group: int) -> str:
    return f"ternary{group}"


def _ternary(group: int) -> Scheme:
    def parts(shape: Shape, bits: int) -> tuple[ArrayPart, ...]:
        return codes("q", shape), scales(group_count(shape, group))

    def problem(tensor: StoredTensor) -> str | None:
        return no_bits_problem(tensor) or codes_problem(tensor, -1, 1) or scale_problem(tensor)

    def decode(tensor: StoredTensor) -> Tensor:
        q = torch.from_numpy(np.array(tensor.arrays["q"], dtype=np.float32))
        scale_G = torch.from_numpy(np.array(tensor.arrays["scale"], dtype=np.float32))
        q_GN = grouped(q, group)
        count_G = q_GN.count_nonzero(dim=1)
        # scale * length is exact (11 by 8 bits), so that one rounding is left and every machine has the same
        level_G = scale_G * lengths(tensor.shape, group) / count_G.clamp_min(1)
        return ungrouped(q_GN * level_G[:, None], tensor.shape)

    return Scheme(parts, problem, decode)


REGISTERED.update({scheme_name(group): _ternary(group) for group in (64, 128, 256)})
