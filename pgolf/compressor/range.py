"""Context mixing and an adaptive binary range coder: the statistics of the weights themselves, learnt on the way.

Formula: -log2 p bits a decision. A weight is found by halving its grid, from the sign down; p mixes, as weighted
    logits whose weights learn, a normal law with sigma = (row's mean |q|) x (column's mean |q|), one around a
    linear prediction from the row so far (normalised least mean squares, per column), one around the earlier
    row most like this one, and counters in the contexts of row, column and position.
Source: mixing as in lpaq (Mahoney), filters as in lossless audio coders; contexts of the spec, section 9.
Cost in bytes: 1.5 to 4 % less than brotli on trained weights, 1 to 3 % less than ZPAQ's strongest; see
    ``pgolf bench artifact``.
Cost in step time: none; packing and unpacking take about 0.6 s per million weights and core.
When it hurts: never in bytes; in seconds where numba has to compile first (about 5 s, once per machine).

The stream, numbers of four bytes little endian: how many raw bytes there are; 0 and they themselves, or 1, the
largest |q| (0 where there are no int8 arrays), the length of every lane but the last, the lanes. Streams of many
weights are cut into lanes at row ends, by their length alone, and lanes are coded by as many threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pgolf.compressor.base import BaseCompressor
from pgolf.compressor.bounded import corrupt
from pgolf.compressor.range_kernels import (
    AT,
    CACHE,
    CODE,
    COST_UNIT,
    DECODING,
    END,
    FOLD,
    FULL,
    LOW,
    MAX_COLUMNS,
    OVERRUN,
    PENDING,
    RANGE,
    SLOTS,
    SPENT,
    code_bytes,
    code_weights,
)
from pgolf.compressor.range_tables import tables
from pgolf.core.results import Layout
from pgolf.core.threads import threaded

CODEC_ID = "range"
_STORED, _CODED = b"\0", b"\1"
_OPENING = 4  # bytes that the decoder holds before the first decision; numbers in the stream are as long
_SLACK = 64
_NO_COSTS = np.zeros(0, dtype=np.int64)
_LANES = ((1 << 23, 4), (1 << 21, 2), (0, 1))  # from so many weights on, so many lanes


@dataclass(frozen=True, slots=True)
class Coded:
    """A packed stream, and the sum of its decisions' costs, if there were any costs: COST_UNIT is a bit."""

    packed: bytes
    cost: int


@dataclass(frozen=True, slots=True)
class Lane:
    """Bytes ``start`` to ``stop`` of a stream; ``parts_S2`` int64: values and columns of each array in it."""

    start: int
    stop: int
    parts_S2: np.ndarray


class Range(BaseCompressor):
    """``compressor=range``."""

    codec_id = CODEC_ID
    beyond_law: ClassVar[Mapping[str, float]] = {"matrix": 0.0, "embedding": -0.25}

    def encode(self, raw: bytes, layout: Layout) -> bytes:
        """Exact for any bytes that fill ``layout``; a stream that the model cannot shorten is kept as it is."""
        return measure(raw, layout, _NO_COSTS).packed

    def decode(self, packed: bytes, raw_length: int, layout: Layout) -> bytes:
        """Raises ArtifactError for a corrupt stream or one that is not ``raw_length`` bytes long."""
        return decode(packed, raw_length, layout)


def measure(raw: bytes, layout: Layout, cost_C: np.ndarray) -> Coded:
    """Encode ``raw``, and sum up ``cost_C`` beside it: int64 [2^16 + 1], what a decision of each probability costs."""
    symbol_N = np.frombuffer(raw, dtype=np.uint8).reshape(_width(layout), -1)[::-1].T.flatten()
    cut = lanes(layout)
    assert len(raw) == (cut[-1].stop if cut else 0), f"{len(raw)} bytes do not fill {layout}"
    largest = int(np.abs(symbol_N.view(np.int8).astype(np.int16)).max(initial=0)) if _is_weights(layout) else 0
    coded = threaded(lambda lane: encoded(_model(lane, symbol_N, layout, largest, cost_C), lane.stop - lane.start), cut)
    head = _number(len(raw))
    packed = [lane.packed for lane in coded]
    body = b"".join([_CODED, bytes([largest]), *(_number(len(lane)) for lane in packed[:-1]), *packed])
    if not all(packed) or len(body) > len(raw):
        return Coded(head + _STORED + raw, 8 * len(raw) * COST_UNIT)
    return Coded(head + body, sum(lane.cost for lane in coded))


def decode(packed: bytes, raw_length: int, layout: Layout) -> bytes:
    """The decoder of codec ``range``; see ``Range.decode``."""
    cut = lanes(layout)
    length = cut[-1].stop if cut else 0
    if not int.from_bytes(packed[:_OPENING], "little") == raw_length == length:
        raise corrupt(CODEC_ID, f"it does not hold the {raw_length:,} bytes declared")
    mode, body = packed[_OPENING : _OPENING + 1], packed[_OPENING + 1 :]
    if mode == _STORED and len(body) == raw_length:
        return body
    head = 1 + _OPENING * (len(cut) - 1)
    if mode != _CODED or not cut or len(body) < head or body[0] > 128:
        raise corrupt(CODEC_ID, "it is cut short or of an unknown kind")
    largest, lengths = body[0], np.frombuffer(body[1:head], dtype="<u4").tolist()
    ends = np.cumsum([head, *lengths, len(body) - head - sum(lengths)]).tolist()
    if ends != sorted(ends):
        raise corrupt(CODEC_ID, "it ends early")
    symbol_N = np.empty(raw_length, dtype=np.uint8)

    def run(i: int) -> None:
        packed_P = np.frombuffer(body[ends[i] : ends[i + 1]], dtype=np.uint8).copy()
        read_back(_model(cut[i], symbol_N, layout, largest, _NO_COSTS), packed_P)

    threaded(run, range(len(cut)))
    return symbol_N.reshape(-1, _width(layout)).T[::-1].tobytes()


def lanes(layout: Layout) -> list[Lane]:
    """Where the stream is cut: weights at the row ends next after equal shares, anything else not at all.

    Decided by the shapes alone. Empty arrays are in no lane, and an empty stream has none.
    """
    sizes = [(math.prod(shape), shape[-1] if shape else 1) for shape in layout.shapes]
    parts = [(size, columns if columns <= MAX_COLUMNS else FOLD) for size, columns in sizes if size]
    total, width = sum(size for size, _ in parts), _width(layout)
    count = next(lanes for weights, lanes in _LANES if total >= weights) if _is_weights(layout) else 1
    ends = [total * (i + 1) // count for i in range(count)]
    result: list[Lane] = []
    held: list[tuple[int, int]] = []
    start = at = 0
    for size, columns in parts:
        while size:
            rows = -(-(ends[len(result)] - at) // columns)
            taken = min(size, rows * columns)
            held.append((taken, columns))
            at, size = at + taken, size - taken
            while len(result) < count and at >= ends[len(result)]:
                result.append(Lane(start * width, at * width, np.array(held, dtype=np.int64).reshape(-1, 2)))
                start, held = at, []
    return [lane for lane in result if lane.stop > lane.start]


Model = Callable[[np.ndarray, np.ndarray], None]  # walks through its symbols with (state, packed bytes)


def _model(lane: Lane, symbol_N: np.ndarray, layout: Layout, largest: int, cost_C: np.ndarray) -> Model:
    """The kernel for ``lane``; ``symbol_N`` uint8: the bytes in the order of coding, each value's highest first."""
    symbol_n = symbol_N[lane.start : lane.stop]
    if _is_weights(layout):
        return lambda a, packed_P: code_weights(
            a, packed_P, symbol_n.view(np.int8), lane.parts_S2, largest, tables(), cost_C
        )
    return lambda a, packed_P: code_bytes(
        a, packed_P, symbol_n, _width(layout), lane.parts_S2[:, 0].copy(), tables(), cost_C
    )


def encoded(model: Model, most: int) -> Coded:
    """What ``model`` writes, closed; nothing where it would be longer than ``most`` bytes."""
    a, packed_P = np.zeros(SLOTS, dtype=np.int64), np.empty(most + _SLACK, dtype=np.uint8)
    a[RANGE], a[AT], a[END] = FULL, -1, len(packed_P)
    model(a, packed_P)
    if a[OVERRUN]:
        return Coded(b"", 0)
    low, cache, pending, at = (int(a[i]) for i in (LOW, CACHE, PENDING, AT))
    # what is still held back: the cached byte, the 0xFF that wait for a carry, and the interval's lower end
    held = ((((cache + 1) << 8 * pending) - 1) << 32) + low
    tail = held.to_bytes(1 + pending + _OPENING, "big")
    return Coded(packed_P[: max(0, at)].tobytes() + tail[at < 0 :], int(a[SPENT]))


def read_back(model: Model, packed_P: np.ndarray) -> None:
    """Let ``model`` read ``packed_P``. Raises ArtifactError unless it ends where and as the encoder ended."""
    a = np.zeros(SLOTS, dtype=np.int64)
    a[RANGE], a[AT], a[END], a[DECODING] = FULL, _OPENING, len(packed_P), 1
    a[CODE] = int.from_bytes(packed_P[:_OPENING].tobytes(), "big")
    if len(packed_P) >= _OPENING:
        model(a, packed_P)
    if a[OVERRUN] or a[AT] != a[END] or a[CODE]:
        raise corrupt(CODEC_ID, "it ends early, late or damaged")


def _is_weights(layout: Layout) -> bool:
    return np.dtype(layout.dtype) == np.int8


def _width(layout: Layout) -> int:
    return np.dtype(layout.dtype).itemsize


def _number(value: int) -> bytes:
    return value.to_bytes(_OPENING, "little")
