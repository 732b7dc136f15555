"""Settle the vector maths library before several threads use it: its first calls can be of low accuracy.

torch's CPU build gives contiguous ``cos``, ``exp``, … to oneMKL's vector library from each of its threads. oneMKL
(before 2025.0) chooses a function's kernel lazily at the first call; where two threads make that first call
together, one of them can get the kernel of lowest accuracy for its share of that call (errors near 1e-4).
Seen here: in about one process of thirty the first window had other rotary angles and scores off by 1.5e-4 nats.
Source: pytorch issue 188792.
"""

from __future__ import annotations

from functools import cache

import torch

# Every unary function that torch's CPU kernels hand to the vector library.
FUNCTIONS = [
    "acos",
    "asin",
    "atan",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "expm1",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]


@cache
def settle_vector_math() -> None:
    """Call each function once on one element, which no second thread shares. Cheap; once per process."""
    for dtype in (torch.float32, torch.float64):
        one = torch.full((1,), 0.5, dtype=dtype)
        for name in FUNCTIONS:
            getattr(torch, name)(one)
