"""``fp32``, ``fp16``: ``values`` of that dtype, bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.schemes.base import Part, Scheme, Shape, no_bits_problem


def _exact(dtype: str) -> Scheme:
    def parts(shape: Shape, bits: int) -> tuple[Part, ...]:
        return (Part("values", f"fp{8 * np.dtype(dtype).itemsize}", dtype, shape),)

    def problem(tensor: StoredTensor) -> str | None:
        finite = bool(np.all(np.isfinite(tensor.arrays["values"])))
        return no_bits_problem(tensor) or (None if finite else "a value that is not a finite number")

    def decode(tensor: StoredTensor) -> Tensor:
        return torch.from_numpy(np.array(tensor.arrays["values"], dtype=np.float32))

    return Scheme(parts, problem, decode)


FP32 = _exact("<f4")
FP16 = _exact("<f2")
