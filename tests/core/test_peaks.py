"""Peaks are of the quickest try, in operations, bytes and reads a second."""

import numpy as np
import torch

from pgolf.core import peaks


def clock(*ticks):
    left = iter(ticks)
    return lambda: next(left)


def test_the_peak_is_that_of_the_quickest_product():
    rate = peaks.matmul_peak(torch.device("cpu"), torch.float32, seconds=0.0, now=clock(0.0, 1.0, 3.0, 3.0, 3.5, 9.0))
    assert rate == 2 * 768**3 / 0.5


def test_copying_counts_what_is_read_and_what_is_written():
    rate = peaks.copy_bandwidth(seconds=0.0, now=clock(0.0, 1.0, 2.0, 2.0, 2.25, 9.0), size=1 << 12)
    assert rate == 2 * (1 << 12) / 0.25


def test_the_ring_goes_around_all_lines_once():
    ring_N = peaks._ring(64 * peaks._LINE)
    seen, place = [], 0
    for _ in range(64):
        place = ring_N[place]
        seen.append(place)
    assert sorted(seen) == list(np.arange(64) * peaks._LINE)
