"""``binary<n>``: ``q`` int8 on {-1, 1}, ``scale`` float16, one per group of n flattened elements; What = q * scale.

A scale may be 0, and is for a group of zeros.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.schemes.base import REGISTERED, ArrayPart, Scheme, Shape, codes, no_bits_problem, scales
from pgolf.quant.schemes.flat_groups import group_count, grouped, ungrouped


def scheme_name(group: int) -> str:
    return f"binary{group}"


def _binary(group: int) -> Scheme:
    def parts(shape: Shape, bits: int) -> tuple[ArrayPart, ...]:
        return codes("q", shape), scales(group_count(shape, group))

    def problem(tensor: StoredTensor) -> str | None:
        q, scale = tensor.arrays["q"], tensor.arrays["scale"]
        if tensor.bits:
            return no_bits_problem(tensor)
        if not bool(np.all((q == 1) | (q == -1))):
            return "a code that is neither -1 nor 1"
        if not bool(np.all(np.isfinite(scale) & (scale >= 0))):
            return "a scale that is negative or not a number"
        return None

    def decode(tensor: StoredTensor) -> Tensor:
        q = torch.from_numpy(np.array(tensor.arrays["q"], dtype=np.float32))
        scale_G = torch.from_numpy(np.array(tensor.arrays["scale"], dtype=np.float32))
        return ungrouped(grouped(q, group) * scale_G[:, None], tensor.shape)

    return Scheme(parts, problem, decode)


REGISTERED.update({scheme_name(group): _binary(group) for group in (64, 128, 256)})
