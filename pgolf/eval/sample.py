"""A small stand-in for a long stream: whole windows taken at even distances, for progress signals only.

The first tokens of a corpus are one or two documents and say little about the rest. Scored with windows side by
side, each chosen window is scored as it is in the full stream, except for one target at each seam.
"""

from __future__ import annotations

import numpy as np


def evenly_spread(stream_N: np.ndarray, tokens: int, window: int) -> np.ndarray:
    """Positions (int64) of about ``tokens`` tokens of ``stream_N``: windows at even distances, the first included.

    All positions, where the stream has no more than ``tokens``.
    """
    windows, wanted = len(stream_N) // window, max(1, tokens // window)
    if len(stream_N) <= tokens or windows <= wanted:
        return np.arange(len(stream_N))
    starts = np.arange(wanted) * windows // wanted * window
    return (starts[:, None] + np.arange(window)).reshape(-1)
