"""The table metric: worked examples A and C, and the pitfalls that once made public scores wrong."""

import math

import numpy as np
import pytest

from pgolf.core.errors import DataError
from pgolf.tokenizer.tables import byte_table, raw_lengths, sidecar_bytes

PIECES = [
    None,
    ("<s>", "control"),
    None,
    None,
    ("<0xC3>", "byte"),
    ("<0xA9>", "byte"),
    ("▁the", "normal"),
    ("▁", "normal"),
    ("cat", "normal"),
    ("é", "normal"),
    ("▁▁", "normal"),
    ("<0x0A>", "byte"),
]
STREAM = np.array([1, 6, 7, 8, 1, 6, 4, 5, 9], dtype=np.uint16)


def test_worked_example_a():
    bytes_N = byte_table(PIECES).target_bytes(STREAM)
    assert bytes_N.tolist() == [3, 1, 3, 0, 3, 1, 1, 2]
    assert bytes_N.sum() == 14
    assert 8 * math.log2(16) / bytes_N.sum() == pytest.approx(2.285714, abs=1e-6)


def test_worked_example_c():
    assert 1.87037189 / math.log(2) / 2.435924 == pytest.approx(1.107743, abs=1e-6)


def test_leading_space_counts_once_and_not_after_bos():
    table = byte_table(PIECES)
    assert table.target_bytes(np.array([8, 6])).tolist() == [4]
    assert table.target_bytes(np.array([1, 6])).tolist() == [3]
    doubled = table.target_bytes(STREAM) + table.lead_V[STREAM[1:]]
    assert doubled.sum() == 17  # the error of several public submissions: 1.882353


def test_byte_tokens_count_one_not_three_and_not_six():
    table = byte_table(PIECES)
    assert table.target_bytes(np.array([8, 4, 11])).tolist() == [1, 1]
    assert not table.lead_V[4] and not table.bound_V[4]


def test_double_space_piece_strips_only_one():
    assert byte_table(PIECES).target_bytes(np.array([8, 10])).tolist() == [1 + 3]


def test_unlisted_unknown_and_control_ids_are_bounds_without_bytes():
    table = byte_table(PIECES)
    assert table.bound_V[[0, 1, 2, 3]].all() and not table.bytes_V[[0, 1, 2, 3]].any()
    assert table.target_bytes(np.array([2, 6])).tolist() == [3]


def test_vocabulary_without_standalone_space_is_an_error():
    with pytest.raises(DataError, match="no standalone space piece"):
        byte_table([entry for entry in PIECES if entry != ("▁", "normal")])


def test_sums_do_not_overflow_small_integers():
    stream = np.full(100_001, 8, dtype=np.uint16)
    assert byte_table(PIECES).target_bytes(stream).sum() == 300_000
    sidecar = np.full(100_001, 60_000, dtype=np.uint16)
    assert sidecar_bytes(stream, sidecar).sum() == 6_000_000_000
    assert raw_lengths([b""] * 8 + [b"xyz"], stream).sum() == 300_000


def test_sidecar_is_read_at_the_target_and_must_be_as_long_as_the_stream():
    assert sidecar_bytes(np.array([1, 5, 6]), np.array([9, 2, 3], np.uint16)).tolist() == [2, 3]
    with pytest.raises(DataError, match="2 entries for 3 tokens"):
        sidecar_bytes(np.array([1, 5, 6]), np.array([2, 3], np.uint16))
