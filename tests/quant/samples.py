"""Stored tensors of every scheme, drawn at random within their grids."""

import math

import numpy as np

from pgolf.core.results import QuantizedState, StoredTensor
from pgolf.quant.schemes import SCHEMES

BITS = {"grid": 5, "asym": 2, "asym64": 4, "half_rows": 4, "half_columns": 2}


def code_range(scheme, bits):
    if scheme == "grid":
        return -(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if bits else (-1, 1)


def sample(name, scheme, shape, role="mlp", bits=None, seed=0):
    """A valid tensor of ``scheme``; codes uniform, scales in 0.001 .. 0.1, values Gaussian."""
    source = np.random.default_rng(seed)
    bits = BITS.get(scheme, 0) if bits is None else bits
    arrays = {}
    for part in SCHEMES[scheme].parts(tuple(shape), bits):
        if part.field == "values":
            array = source.standard_normal(part.shape)
        elif part.field == "scale":
            array = source.uniform(0.001, 0.1, part.shape)
        elif scheme.startswith("binary"):
            array = source.choice([-1, 1], part.shape)
        else:
            low, high = code_range(scheme, bits)
            array = source.integers(low, high + 1, part.shape)
        arrays[part.field] = np.asarray(array).astype(np.dtype(part.dtype))
    return StoredTensor(name, role, scheme, tuple(shape), arrays, bits)


def every_scheme(rows=12, columns=8):
    """One tensor of each scheme, an alias, and two corrected matrices: a grid one and a ternary one."""
    tensors = [sample(f"w.{name}", name, (rows, columns), seed=i) for i, name in enumerate(SCHEMES)]
    tensors += [
        sample("w.grid.lqer_left", "asym", (rows, 2), "lqer", seed=90),
        sample("w.grid.lqer_right", "asym64", (2, columns), "lqer", seed=91),
        sample("w.ternary128.lqer_left", "half_columns", (rows, 3), "lqer", seed=92),
        sample("w.ternary128.lqer_right", "half_rows", (3, columns), "lqer", seed=93),
    ]
    corrections = {name: (f"{name}.lqer_left", f"{name}.lqer_right") for name in ("w.grid", "w.ternary128")}
    assert math.prod((rows, columns)) > 64
    return QuantizedState(tuple(tensors), {"head": "w.grid", "tied": "w.fp32"}, corrections)
