"""What an entropy coder leaves of codes and floats: size estimates that need no compressor.

Codes: order-0 entropy, from their histogram. Floats: an IEEE number drawn from a Gaussian around zero has its sign,
2.5 bits of exponent and its mantissa, which is as good as uniform: 13.5 bits of float16, 26.5 of float32. The scales
of a tensor's rows lie within a factor of about two of each other, so little but the mantissa is left: 10.3 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from pgolf.core.results import StoredTensor

FLOAT_BITS: Mapping[str, float] = {"fp16": 13.5, "fp32": 26.5}
SCALE_BYTES = 10.3 / 8


def code_bits(codes: np.ndarray) -> float:
    """Bits of all of ``codes`` (int8) under their own histogram: n·H0."""
    counts = np.bincount(codes.reshape(-1).view(np.uint8), minlength=256)
    counts = counts[counts > 0]
    return float((counts * (math.log2(max(1, codes.size)) - np.log2(counts))).sum())


def stored_bytes(tensors: Iterable[StoredTensor]) -> float:
    """Bytes of stored tensors: the entropy of each tensor's codes, and of its floats by the law above."""
    total = 0.0
    for tensor in tensors:
        for field, array in tensor.arrays.items():
            if array.dtype == np.int8:
                total += code_bits(array) / 8
            elif field == "scale":
                total += array.size * SCALE_BYTES
            else:
                total += array.size * FLOAT_BITS["fp16" if array.itemsize == 2 else "fp32"] / 8
    return total
