"""``pgolf bench artifact``: what each part of an artifact weighs, under every compressor, beside its entropy.

Per stream of the artifact (the codes of each role, scales, tensors kept as they are, tokenizer, header): order-0
entropy, tensor by tensor; the adaptive code length, which is -log2 of the probability that ``compressor=range``
gives to the stream while it learns; the bytes that it makes of it; and the bytes that the others make. A stream that
does not get smaller counts as it is, as in the artifact. Speeds are wall time of all streams beside each other, as
artifacts are packed and unpacked.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, artifact_of, peak
from pgolf.core.command import guarded, home
from pgolf.core.errors import ArtifactError

if TYPE_CHECKING:
    from pgolf.artifact.container import Unpacked
    from pgolf.core.protocols import Compressor
    from pgolf.core.results import Layout

ARTIFACT = "artifact.pgolf"
ZPAQ = "zpaq-5"


def add_parser(subparsers: Any) -> None:
    """Add ``artifact``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "artifact",
        help="bytes of each part of an artifact under every compressor, beside its entropy",
        description="Compresses each stream of a finished run's artifact again with every compressor. "
        "ZPAQ needs the extra: pip install 'pgolf[bench]'.",
    )
    parser.add_argument("path", type=home, metavar="RUN|ARTIFACT", help="a run folder or a .pgolf file")
    parser.set_defaults(run=guarded("bench artifact", _run))


def _run(arguments: argparse.Namespace) -> None:
    """Print the tables. Raises ArtifactError for something that is no artifact."""
    print("\n".join(report(arguments.path)))


@dataclass(frozen=True, slots=True)
class Row:
    """One stream: ``weights`` is 0 where it holds none; all else in bytes, ``rivals`` by name."""

    name: str
    weights: int
    raw: int
    order0: float
    ideal: float
    packed: int
    stored: int
    rivals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CodedStreams:
    """The streams as ``compressor=range`` packs them, in their order, and how long both ways took."""

    packed: Sequence[bytes]
    encode_seconds: float
    decode_seconds: float


def report(path: Path) -> list[str]:
    """The lines of the report on the run folder or artifact at ``path``. Raises ArtifactError."""
    from pgolf.artifact.container import unpacked
    from pgolf.core.threads import cores

    if path.is_dir():
        path = path / ARTIFACT
    rivals = _rivals()
    streams = unpacked(path)
    coded = _code(streams)
    rows = [_measure(stream, packed, rivals) for stream, packed in zip(streams, coded.packed, strict=True)]
    codecs = ", ".join(sorted({stream.codec for stream in streams}))
    lines = [f"{path}: {path.stat().st_size:,} bytes, {codecs}", "", *_table(rows, list(rivals)), ""]
    lines += _margins(rows, list(rivals))
    weights = sum(row.weights for row in rows)
    if weights:
        encode, decode = (weights / t / 1e6 for t in (coded.encode_seconds, coded.decode_seconds))
        threads = min(len(streams), cores())
        lines.append(f"range: encodes {encode:.2f} M weights/s, decodes {decode:.2f} M weights/s, {threads} threads")
    if ZPAQ not in rivals:
        lines.append("ZPAQ is not installed: pip install 'pgolf[bench]'")
    return lines


def session(setting: Setting) -> ArtifactSession:
    """Raises ConfigError without an artifact, ArtifactError for what is none."""
    return ArtifactSession(setting)


class ArtifactSession:
    """Its part in the table of ``pgolf bench``: bytes beside entropy and ideal code length, and how fast they go."""

    def __init__(self, setting: Setting) -> None:
        from pgolf.artifact.container import unpacked
        from pgolf.core.threads import cores

        path = artifact_of(setting)
        self.streams = unpacked(path)
        rows = [
            _measure(stream, packed, {})
            for stream, packed in zip(self.streams, _code(self.streams).packed, strict=True)
        ]
        self.fixed = [
            Reading(
                f"{row.name}, bytes",
                row.packed,
                "bytes",
                "less",
                row.order0,
                "order-0 entropy",
                exact=True,
                where=f"{8 * row.packed / row.weights:.3f} bits a weight",
            )
            for row in rows
            if row.weights
        ]
        ideal = sum(row.ideal for row in rows)
        packed = sum(row.packed for row in rows)
        self.fixed.append(Reading("all, bytes", packed, "bytes", "less", ideal, "ideal code length", exact=True))
        self.raw, self.threads = sum(row.raw for row in rows), min(len(self.streams), cores())
        self.size = {"artifact": path.stat().st_size, "streams": [row.name for row in rows]}

    def round(self) -> Sequence[Reading]:
        coded = _code(self.streams)
        copying = peak("copying", time.perf_counter) / 1e6
        speeds = {"encode": coded.encode_seconds, "decode": coded.decode_seconds}
        return [
            *self.fixed,
            *(
                Reading(
                    name, self.raw / seconds / 1e6, "MB/s", floor=copying, of="copying", where="one symbol's models"
                )
                for name, seconds in speeds.items()
            ),
        ]

    def close(self) -> None: ...


def _code(streams: Sequence[Unpacked]) -> CodedStreams:
    """Raises ArtifactError where a stream does not come back as it was."""
    from pgolf.compressor.range import Range
    from pgolf.core.threads import threaded

    coder = Range()
    coder.encode(streams[0].raw, streams[0].layout)  # loads what is compiled
    started = time.perf_counter()
    packed = threaded(lambda stream: coder.encode(stream.raw, stream.layout), streams)
    encoded = time.perf_counter()
    raw = threaded(lambda i: coder.decode(packed[i], len(streams[i].raw), streams[i].layout), range(len(streams)))
    decoded = time.perf_counter()
    for stream, again in zip(streams, raw, strict=True):
        if again != stream.raw:
            raise ArtifactError(f"artifact: {stream.name}: the roundtrip is not exact; please report this")
    return CodedStreams(packed, encoded - started, decoded - encoded)


def _measure(stream: Unpacked, packed: bytes, rivals: Mapping[str, Callable[[bytes], bytes]]) -> Row:
    import numpy as np

    is_weights = np.dtype(stream.layout.dtype) == np.int8
    return Row(
        name=stream.name,
        weights=len(stream.raw) if is_weights else 0,
        raw=len(stream.raw),
        order0=_order0_bytes(stream),
        ideal=ideal_bits(stream.raw, stream.layout) / 8,
        packed=min(len(packed), len(stream.raw)),
        stored=stream.packed_length,
        rivals={name: min(len(pack(stream.raw)), len(stream.raw)) for name, pack in rivals.items()},
    )


def ideal_bits(raw: bytes, layout: Layout) -> float:
    """The adaptive code length: -log2 of the probability that the model of ``compressor=range`` gives to ``raw``."""
    import numpy as np

    from pgolf.compressor import range as coder
    from pgolf.compressor.range_kernels import COST_UNIT, P_ONE

    p = np.maximum(1, np.arange(P_ONE + 1)) / P_ONE
    return coder.measure(raw, layout, np.rint(-np.log2(p) * COST_UNIT).astype(np.int64)).cost / COST_UNIT


def _order0_bytes(stream: Unpacked) -> float:
    """n H0 of the bytes: of each array by itself where they are codes, of the whole stream otherwise."""
    import math

    import numpy as np

    from pgolf.quant.entropy import code_bits

    bytes_N = np.frombuffer(stream.raw, dtype=np.int8)
    if np.dtype(stream.layout.dtype) != np.int8:
        return code_bits(bytes_N) / 8
    ends = np.cumsum([math.prod(shape) for shape in stream.layout.shapes])
    return sum(code_bits(codes) for codes in np.split(bytes_N, ends[:-1])) / 8


def _rivals() -> dict[str, Callable[[bytes], bytes]]:
    """Every other compressor, by the option of its name; ZPAQ where it is installed."""
    from pgolf.compressor.range import CODEC_ID
    from pgolf.compressor.registry import codecs
    from pgolf.config.compose import node
    from pgolf.core.make import make
    from pgolf.core.results import Layout

    def packer(compressor: Compressor) -> Callable[[bytes], bytes]:
        return lambda raw: compressor.encode(raw, Layout("|u1", ((len(raw),),)))

    packers = {name: packer(make(node("compressor", name))) for name in codecs() if name != CODEC_ID}
    if find_spec("zpaq"):
        import zpaq

        packers[ZPAQ] = lambda raw: zpaq.compress(raw, level=5, threads=1)
    return packers


def _table(rows: Sequence[Row], rivals: Sequence[str]) -> list[str]:
    """A line per stream and one of sums; bits a weight where there are weights."""
    head = ["part", "weights", "order-0", "ideal", "range", "bits", "stored", *rivals]
    body = [
        [
            row.name,
            f"{row.weights:,}" if row.weights else "-",
            *(f"{size:,.0f}" for size in (row.order0, row.ideal, row.packed)),
            f"{8 * row.packed / row.weights:.4f}" if row.weights else "-",
            *(f"{size:,}" for size in (row.stored, *(row.rivals[name] for name in rivals))),
        ]
        for row in rows
    ]
    sums = [sum(row.order0 for row in rows), sum(row.ideal for row in rows), _sum(rows, "range")]
    others = [sum(row.stored for row in rows), *(_sum(rows, name) for name in rivals)]
    weights = sum(row.weights for row in rows)
    total = ["all", f"{weights:,}", *(f"{size:,.0f}" for size in sums), "", *(f"{size:,}" for size in others)]
    table = [head, *body, total]
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]


def _margins(rows: Sequence[Row], rivals: Sequence[str]) -> list[str]:
    weights = [row for row in rows if row.weights]
    lines = []
    for label, chosen in [(row.name, [row]) for row in weights] + [("all", list(rows))]:
        ours = _sum(chosen, "range")
        sizes = ", ".join(f"{name} {100 * (ours / _sum(chosen, name) - 1):+.2f} %" for name in rivals)
        over = 100 * (ours / max(1.0, sum(row.ideal for row in chosen)) - 1)
        lines.append(f"{label}: range is {over:+.3f} % against its ideal code length; {sizes}")
    return lines


def _sum(rows: Sequence[Row], name: str) -> int:
    return sum(row.packed if name == "range" else row.rivals[name] for row in rows)
