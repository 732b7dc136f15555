"""``fp16``, ``fp32``: ``values``, floats of so many bits, as they are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import StoredTensor
from pgolf.quant.schemes.base import REGISTERED, ArrayPart, Scheme, Shape, no_bits_problem


def scheme_name(float_bits: int) -> str:
    return f"fp{float_bits}"


def _fp(float_bits: int) -> Scheme:
    def parts(shape: Shape, bits: int) -> tuple[ArrayPart, ...]:
        return (ArrayPart("values", scheme_name(float_bits), f"<f{float_bits // 8}", shape),)

    def problem(tensor: StoredTensor) -> str | None:
        finite = bool(np.all(np.isfinite(tensor.arrays["values"])))
        return no_bits_problem(tensor) or (None if finite else "a value that is not a finite number")

    def decode(tensor: StoredTensor) -> Tensor:
        return torch.from_numpy(np.array(tensor.arrays["values"], dtype=np.float32))

    return Scheme(parts, problem, decode)


REGISTERED.update({scheme_name(float_bits): _fp(float_bits) for float_bits in (16, 32)})
