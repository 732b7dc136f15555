"""The metric: bits per byte, computed here and nowhere else.

Shapes: N tokens of a stream, of which N-1 are targets.
"""

from __future__ import annotations

import math

import numpy as np


def bits_per_byte(nll_nats_N: np.ndarray, bytes_N: np.ndarray, side_bits: float = 0.0) -> float:
    """``(Σ nll_nats / ln 2 + side_bits) / Σ bytes``: bits needed for the scored targets per byte they carry.

    Both sums are taken over *all* scored targets before the one division; a mean of ratios over batches
    or documents is a different and meaningless number. ``nll_nats_N`` is summed in float64, ``bytes_N`` in
    int64 whatever integer type it comes in. A BOS target adds bits and no bytes. Source: spec data §5.

    Raises ValueError for arrays of different lengths, a target that was not scored (not a finite number),
    a negative byte count, byte counts that are not integers, and a stream without bytes.
    """
    nll_nats_N, bytes_N = np.asarray(nll_nats_N), np.asarray(bytes_N)
    if nll_nats_N.shape != bytes_N.shape:
        raise ValueError(f"{nll_nats_N.size} scores for {bytes_N.size} byte counts")
    if bytes_N.dtype.kind not in "iu":
        raise ValueError(f"byte counts are integers, not {bytes_N.dtype}")
    if bytes_N.size and bytes_N.min() < 0:
        raise ValueError(f"a byte count of {bytes_N.min()} is negative")
    nll_nats = float(nll_nats_N.sum(dtype=np.float64))
    if not math.isfinite(nll_nats):
        bad = int(np.flatnonzero(~np.isfinite(nll_nats_N))[0])
        raise ValueError(f"position {bad} has no finite score; every target is scored exactly once")
    total_bytes = int(bytes_N.sum(dtype=np.int64))
    if total_bytes == 0:
        raise ValueError("the scored targets carry no bytes")
    return (nll_nats / math.log(2) + side_bits) / total_bytes
