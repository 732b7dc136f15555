"""Context mixing and an adaptive binary range coder: the statistics of the weights themselves, learnt on the way.

Formula: -log2 p bits a decision. A weight is found by halving its grid, from the sign down; p mixes, as weighted
    logits whose weights learn, a normal law with sigma = (row's mean |q|) x (column's mean |q|), one around a
    linear prediction from the row so far (normalised least mean squares, per column), one around the earlier
    row most like this one, and counters in the contexts of row, column and position.
Source: mixing as in lpaq (Mahoney), filters as in lossless audio coders; contexts of the spec, section 9.
Cost in bytes: 1 to 2 % less than brotli on trained int5 and int6 weights, less than ZPAQ's strongest; see
    ``pgolf bench artifact``.
Cost in step time: none; packing and unpacking take about 0.6 s per million weights and core.
When it hurts: never in bytes; in seconds where numba has to compile first (about 5 s, once per machine).

The stream: how long the raw bytes are (LEB128), then coded: whether the rest is as it was (0) or coded (1);
for int8 arrays the largest |q|, the length of every lane but the last (LEB128), the lanes. Streams of many
weights are cut into lanes at row ends, by their length alone, and lanes are coded by as many threads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pgolf.compressor import range_kernels as kernels
from pgolf.compressor.bounded import corrupt
from pgolf.compressor.range_tables import tables
from pgolf.core.results import Layout

CODEC_ID = "range"
_STORED, _CODED = 0, 1
_OPENING = 4  # bytes that the decoder holds before the first decision
_SLACK = 64
_LANES = ((1 << 23, 4), (1 << 21, 2), (0, 1))  # from so many weights on, so many lanes


@dataclass(frozen=True, slots=True)
class Coded:
    """A packed stream, and -log2 of the probability that the model gave to what it holds."""

    packed: bytes
    ideal_bits: float


@dataclass(frozen=True, slots=True)
class Lane:
    """Weights ``start`` to ``stop`` of a stream; ``parts_S2`` int64: weights and columns of each matrix in it."""

    start: int
    stop: int
    parts_S2: np.ndarray


class Range:
    """``compressor=range``."""

    codec_id = CODEC_ID

    def encode(self, raw: bytes, layout: Layout) -> bytes:
        """Exact for any bytes that fill ``layout``; a stream that the model cannot shorten is kept as it is."""
        return measure(raw, layout, tally=False).packed

    def decode(self, packed: bytes, raw_length: int, layout: Layout) -> bytes:
        """Raises ArtifactError for a corrupt stream or one that is not ``raw_length`` bytes long."""
        return decode(packed, raw_length, layout)


def measure(raw: bytes, layout: Layout, *, tally: bool = True) -> Coded:
    """Encode ``raw``; with ``tally`` the ideal code length is summed up beside it (a float; the model has none)."""
    assert len(raw) == _nbytes(layout), f"{len(raw)} bytes do not fill {layout}"
    costs = _costs() if tally else np.zeros(0, dtype=np.int64)
    coded = _encode_weights(raw, layout, costs) if _is_weights(layout) else _encode_bytes(raw, layout, costs)
    if coded is None or len(coded.packed) >= len(raw):
        coded = Coded(bytes([_STORED]) + raw, 8.0 * len(raw))
    return Coded(_leb128(len(raw)) + coded.packed, coded.ideal_bits)


def decode(packed: bytes, raw_length: int, layout: Layout) -> bytes:
    """The decoder of codec ``range``; see ``Range.decode``."""
    held, at = _from_leb128(packed, 0)
    if held != raw_length or raw_length != _nbytes(layout):
        raise corrupt(CODEC_ID, f"it holds {held:,} bytes, {raw_length:,} were declared")
    mode, body = packed[at : at + 1], packed[at + 1 :]
    if mode == bytes([_CODED]):
        return _decode_weights(body, layout) if _is_weights(layout) else _decode_bytes(body, layout)
    if mode != bytes([_STORED]) or len(body) != raw_length:
        raise corrupt(CODEC_ID, f"{len(body):,} bytes of mode {mode.hex() or 'none'}")
    return body


# ---- int8 arrays: lanes of weights


def lanes(layout: Layout) -> list[Lane]:
    """Where the stream is cut: at the row ends next after equal shares. Decided by the shapes alone."""
    parts = []
    for shape in layout.shapes:
        size, columns = math.prod(shape), shape[-1] if shape else 1
        if size:
            parts.append((size, columns if columns <= kernels.MAX_COLUMNS else kernels.FOLD))
    total = sum(size for size, _ in parts)
    count = next(lanes for weights, lanes in _LANES if total >= weights)
    ends = [total * (i + 1) // count for i in range(count)]
    result: list[Lane] = []
    start = at = 0
    held: list[tuple[int, int]] = []
    for size, columns in parts:
        while size:
            rows = -(-(ends[len(result)] - at) // columns)
            taken = min(size, rows * columns)
            held.append((taken, columns))
            at, size = at + taken, size - taken
            while len(result) < count and at >= ends[len(result)]:
                result.append(Lane(start, at, np.array(held, dtype=np.int64).reshape(-1, 2)))
                start, held = at, []
    return [lane for lane in result if lane.stop > lane.start]


def _encode_weights(raw: bytes, layout: Layout, costs: np.ndarray) -> Coded | None:
    q_N = np.frombuffer(raw, dtype=np.int8).copy()
    cut = lanes(layout)
    largest = int(np.abs(q_N.astype(np.int16)).max(initial=0))

    def run(lane: Lane) -> Coded | None:
        q_n = q_N[lane.start : lane.stop]
        return _encoded(
            len(q_n),
            costs,
            lambda a, packed_P: kernels.code_weights(
                a, packed_P, q_n, lane.parts_S2, largest, tables(), costs
            ),
        )

    coded = list(_in_threads(run, cut))
    held = [lane for lane in coded if lane is not None]
    if len(held) < len(cut):
        return None
    head = bytes([_CODED, largest]) + b"".join(_leb128(len(lane.packed)) for lane in held[:-1])
    return Coded(
        head + b"".join(lane.packed for lane in held),
        sum(lane.ideal_bits for lane in held),
    )


def _decode_weights(body: bytes, layout: Layout) -> bytes:
    cut = lanes(layout)
    largest, at = body[0] if body else 255, 1
    if largest > 128:
        raise corrupt(CODEC_ID, "no int8 code is so large")
    ends = []
    for _ in cut[:-1]:
        length, at = _from_leb128(body, at)
        ends.append(length)
    packed = np.frombuffer(body, dtype=np.uint8)[at:]
    ends = np.cumsum([0, *ends, len(packed) - sum(ends)]).tolist()
    if ends != sorted(ends):
        raise corrupt(CODEC_ID, "it ends early")
    q_N = np.empty(_nbytes(layout), dtype=np.int8)

    def run(i: int) -> None:
        lane = cut[i]
        q_n = q_N[lane.start : lane.stop]
        _decoded(
            packed[ends[i] : ends[i + 1]],
            lambda a, packed_P: kernels.code_weights(
                a, packed_P, q_n, lane.parts_S2, largest, tables(), np.zeros(0, dtype=np.int64)
            ),
        )

    list(_in_threads(run, range(len(cut))))
    return q_N.tobytes()


# ---- everything else: bytes


def _encode_bytes(raw: bytes, layout: Layout, costs: np.ndarray) -> Coded | None:
    width = np.dtype(layout.dtype).itemsize
    byte_N = np.frombuffer(raw, dtype=np.uint8).reshape(width, -1)[::-1].T.flatten()
    counts_S = _counts(layout)
    coded = _encoded(
        len(raw),
        costs,
        lambda a, packed_P: kernels.code_bytes(a, packed_P, byte_N, width, counts_S, tables(), costs),
    )
    return None if coded is None else Coded(bytes([_CODED]) + coded.packed, coded.ideal_bits)


def _decode_bytes(body: bytes, layout: Layout) -> bytes:
    width = np.dtype(layout.dtype).itemsize
    byte_N, counts_S = np.empty(_nbytes(layout), dtype=np.uint8), _counts(layout)
    _decoded(
        np.frombuffer(body, dtype=np.uint8),
        lambda a, packed_P: kernels.code_bytes(
            a, packed_P, byte_N, width, counts_S, tables(), np.zeros(0, dtype=np.int64)
        ),
    )
    return byte_N.reshape(-1, width).T[::-1].tobytes()


# ---- the coder from outside

Kernel = Callable[[np.ndarray, np.ndarray], None]


def _encoded(raw_length: int, costs: np.ndarray, run: Kernel) -> Coded | None:
    """What ``run`` writes, closed; None where it would be longer than the raw bytes."""
    a, packed_P = np.zeros(kernels.SLOTS, dtype=np.int64), np.empty(raw_length + _SLACK, dtype=np.uint8)
    a[kernels.RANGE], a[kernels.AT], a[kernels.END] = kernels.FULL, -1, len(packed_P)
    run(a, packed_P)
    if a[kernels.OVERRUN]:
        return None
    low, cache, pending, at = (int(a[i]) for i in (kernels.LOW, kernels.CACHE, kernels.PENDING, kernels.AT))
    # what is still held back: the cached byte, the 0xFF that wait for a carry, and the interval's lower end
    held = ((((cache + 1) << 8 * pending) - 1) << 32) + low
    tail = held.to_bytes(1 + pending + 4, "big")
    packed = packed_P[: max(0, at)].tobytes() + (tail[1:] if at < 0 else tail)
    return Coded(packed, float(a[kernels.SPENT]) / kernels.COST_UNIT)


def _decoded(packed_P: np.ndarray, run: Kernel) -> None:
    """Let ``run`` read ``packed_P``. Raises ArtifactError unless it ends where and as the encoder ended."""
    if len(packed_P) < _OPENING:
        raise corrupt(CODEC_ID, "it ends early")
    a = np.zeros(kernels.SLOTS, dtype=np.int64)
    a[kernels.RANGE], a[kernels.AT], a[kernels.END] = kernels.FULL, _OPENING, len(packed_P)
    a[kernels.CODE] = int.from_bytes(packed_P[:_OPENING].tobytes(), "big")
    a[kernels.DECODING] = 1
    run(a, packed_P.copy())
    if a[kernels.OVERRUN] or a[kernels.AT] != a[kernels.END] or a[kernels.CODE]:
        raise corrupt(CODEC_ID, "it ends early" if a[kernels.OVERRUN] else "its end is damaged")


def _in_threads(run: Callable, lanes: Sequence) -> Iterator:
    """``run`` of each lane, in order; the kernels let go of the interpreter's lock."""
    if len(lanes) < 2:
        return iter([run(lane) for lane in lanes])
    with ThreadPoolExecutor(max_workers=min(len(lanes), os.cpu_count() or 1)) as pool:
        return iter(list(pool.map(run, lanes)))


def _is_weights(layout: Layout) -> bool:
    return np.dtype(layout.dtype) == np.int8


def _nbytes(layout: Layout) -> int:
    return int(_counts(layout).sum()) * np.dtype(layout.dtype).itemsize


def _counts(layout: Layout) -> np.ndarray:
    """How many values each array of the stream has: int64 [S]."""
    return np.array([math.prod(shape) for shape in layout.shapes], dtype=np.int64)


def _costs() -> np.ndarray:
    """-log2(p / 2^16) of each p, in units of ``COST_UNIT``: int64 [2^16 + 1]. For reports only."""
    p = np.maximum(1, np.arange(kernels.P_ONE + 1)) / kernels.P_ONE
    return np.rint(-np.log2(p) * kernels.COST_UNIT).astype(np.int64)


def _leb128(value: int) -> bytes:
    """Seven bits a byte, the least first; the top bit says that more follow."""
    out = []
    while value >> 7:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*out, value])


def _from_leb128(data: bytes, at: int) -> tuple[int, int]:
    """(value, offset after it). Raises ArtifactError where the data end or the value is no length."""
    value = shift = 0
    while at < len(data) and shift < 42:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
    raise corrupt(CODEC_ID, "it ends early")
