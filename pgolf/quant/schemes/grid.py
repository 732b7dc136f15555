"""``grid``: ``q`` int8 on {-qmax .. qmax}, ``scale`` float16, one per row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.grid import as_rows, dequantize_rows, qmax, row_count
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

NAME = "grid"


def _parts(shape: Shape, bits: int) -> tuple[ArrayPart, ...]:
    return codes("q", shape), scales(row_count(shape))


def _problem(tensor: StoredTensor) -> str | None:
    if not 2 <= tensor.bits <= 8:
        return f"{tensor.bits} bits (a grid has 2 to 8)"
    top = qmax(tensor.bits)
    return codes_problem(tensor, -top, top) or scale_problem(tensor)


def _decode(tensor: StoredTensor) -> Tensor:
    q = torch.from_numpy(np.array(tensor.arrays["q"], dtype=np.int8))
    scale_R = torch.from_numpy(np.array(tensor.arrays["scale"], dtype=np.float16))
    return dequantize_rows(as_rows(q), scale_R).reshape(tensor.shape)


REGISTERED[NAME] = Scheme(_parts, _problem, _decode)
