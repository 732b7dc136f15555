"""The artifact's directory: which tensors it holds and in which streams they lie, as canonical JSON.

Tables are by column, because that is what compresses: ``names`` sorted, ``shapes`` beside them, and
``kinds``, an index into the distinct (scheme, bits, role) of ``table``. Offsets are not written down: a
tensor's arrays lie in their streams in the order of the names, each as long as its scheme and shape say,
and a stream whose length is not the sum of its arrays is refused. One fact has one place. ``corrections`` is there
only where a tensor has one: matrix to the names of its two factors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pgolf.artifact.corrections import Corrections, check_corrections, read_corrections
from pgolf.core.errors import ArtifactError
from pgolf.core.json_text import MAX_DEPTH, parse_json, too_deep
from pgolf.core.results import Layout, StoredTensor
from pgolf.quant.schemes import SCHEMES, ArrayPart

MAX_RAW_BYTES = 1 << 29  # of all streams together, unpacked; what claims more is not one of ours
TOKENIZER = "tokenizer"
PACKED = "packed"  # counts of the training text
SCALES = "scales"
HEADER = "header"
RESERVED_ROLES = (TOKENIZER, PACKED, SCALES, HEADER)  # parts of the ledger that are no role of a tensor

_TENSOR_KEYS = ("names", "shapes", "kinds")
_KEYS = {*_TENSOR_KEYS, "table", "aliases", "streams", "run"}
_CORRECTIONS = "corrections"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor as the directory knows it, before its arrays are read."""

    name: str
    shape: tuple[int, ...]
    scheme: str
    bits: int
    role: str

    def parts(self) -> tuple[ArrayPart, ...]:
        return SCHEMES[self.scheme].parts(self.shape, self.bits)

    def stream_of(self, part: ArrayPart) -> str:
        """``q.mlp``, ``fp32.small``; scales of all roles share ``scale``."""
        return part.stream if part.shared else f"{part.stream}.{self.role}"


@dataclass(frozen=True, slots=True)
class Stream:
    """One compressed stream: sizes in bytes, CRC-32 of the packed bytes."""

    name: str
    codec: str
    raw_length: int
    packed_length: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Directory:
    """``run`` is the caller's header; ``aliases`` maps further names to stored ones, ``corrections`` a stored matrix
    to its two stored factors."""

    entries: tuple[Entry, ...]
    aliases: Mapping[str, str]
    corrections: Corrections
    streams: tuple[Stream, ...]
    run: Mapping[str, Any]


def entry_of(tensor: StoredTensor) -> Entry:
    return Entry(tensor.name, tuple(tensor.shape), tensor.scheme, tensor.bits, tensor.role)


def shapes_of(entries: tuple[Entry, ...]) -> dict[str, tuple[int, ...]]:
    return {entry.name: entry.shape for entry in entries}


def stream_lengths(entries: tuple[Entry, ...], blob_bytes: Mapping[str, int]) -> dict[str, int]:
    """Raw bytes of each stream, sorted by name, empty ones left out; ``blob_bytes``: of those that are no tensors.

    Raises ArtifactError over MAX_RAW_BYTES.
    """
    lengths = dict(blob_bytes)
    for entry in entries:
        for part in entry.parts():
            stream = entry.stream_of(part)
            lengths[stream] = lengths.get(stream, 0) + part.nbytes
    total = sum(lengths.values())
    if total > MAX_RAW_BYTES:
        raise ArtifactError(f"artifact: {total:,} bytes unpacked, over the format's limit of {MAX_RAW_BYTES:,}")
    return {stream: lengths[stream] for stream in sorted(lengths) if lengths[stream]}


def stream_layouts(entries: tuple[Entry, ...], blob_bytes: Mapping[str, int]) -> dict[str, Layout]:
    """What the bytes of each stream are, for compressors that use it."""
    shapes: dict[str, list[tuple[int, ...]]] = {}
    dtypes: dict[str, str] = {}
    for entry in entries:
        for part in entry.parts():
            stream = entry.stream_of(part)
            dtype = dtypes.setdefault(stream, part.dtype)
            assert dtype == part.dtype, f"{stream} holds two types"
            shapes.setdefault(stream, []).append(part.shape)
    layouts = {stream: Layout(dtypes[stream], tuple(shapes[stream])) for stream in shapes}
    return layouts | {name: plain_bytes(length) for name, length in blob_bytes.items()}


def plain_bytes(length: int) -> Layout:
    return Layout("|u1", ((length,),))


def check_names(entries: tuple[Entry, ...], aliases: Mapping[str, str]) -> None:
    """Names distinct and sorted, aliases pointing at stored tensors and at nothing else."""
    names = [entry.name for entry in entries]
    for before, name in pairwise(names):
        if before >= name:
            raise ArtifactError(f"artifact: tensor {name!r} is there twice or out of order")
    for entry in entries:
        if entry.role in RESERVED_ROLES:
            raise ArtifactError(f"artifact: tensor {entry.name!r} has the reserved role {entry.role!r}")
    known = set(names)
    for alias, owner in aliases.items():
        if owner not in known:
            raise ArtifactError(f"artifact: alias {alias!r} points at {owner!r}, a missing tensor")
        if alias in known:
            raise ArtifactError(f"artifact: {alias!r} is both a tensor and an alias of {owner!r}")


def to_json(directory: Directory) -> bytes:
    """Canonical bytes: sorted keys, no blanks, UTF-8. Raises ArtifactError where ``run`` is not plain JSON."""
    table = sorted({(e.scheme, e.bits, e.role) for e in directory.entries})
    corrections = {name: list(factors) for name, factors in directory.corrections.items()}
    return _dump(
        {
            "names": [e.name for e in directory.entries],
            "shapes": [list(e.shape) for e in directory.entries],
            "kinds": [table.index((e.scheme, e.bits, e.role)) for e in directory.entries],
            "table": [list(kind) for kind in table],
            "aliases": dict(directory.aliases),
            "streams": [[s.name, s.codec, s.raw_length, s.packed_length, s.crc32] for s in directory.streams],
            "run": _run(directory.run),
        }
        | ({_CORRECTIONS: corrections} if corrections else {})
    )


def from_json(data: bytes) -> Directory:
    """The directory, every field checked. Raises ArtifactError; never anything else, whatever ``data`` is."""
    root = parse_json(data, "artifact: its header is not readable", ArtifactError)
    if not isinstance(root, dict) or set(root) - {_CORRECTIONS} != _KEYS or _dump(root) != data:
        raise ArtifactError("artifact: its header is not in canonical form")
    if not isinstance(root["run"], dict) or not _is_names(root["aliases"]):
        raise ArtifactError("artifact: its header has fields of the wrong type")
    entries = tuple(_entries(root))
    corrections = read_corrections(root[_CORRECTIONS]) if _CORRECTIONS in root else {}
    check_names(entries, root["aliases"])
    check_corrections(shapes_of(entries), root["aliases"], corrections)
    return Directory(entries, root["aliases"], corrections, tuple(_streams(root["streams"])), root["run"])


def _run(header: Mapping[str, Any]) -> Any:
    try:
        run = plain(header)
    except RecursionError:
        run = None
    if run is None or too_deep([run]):  # in the header it lies one level down
        raise ArtifactError(f"artifact: its header is nested more than {MAX_DEPTH} levels deep")
    return run


def plain(value: Any, place: str = "header") -> Any:
    """``value`` as dicts, lists, strings, numbers, booleans and None. Raises ArtifactError naming the place."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ArtifactError(f"artifact: {place} has the key {key!r}; only text can be a key")
        return {key: plain(child, f"{place}.{key}") for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(child, f"{place}[{i}]") for i, child in enumerate(value)]
    raise ArtifactError(f"artifact: {place} is a {type(value).__name__}, which a header cannot hold")


def _dump(value: Any) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except ValueError as error:  # NaN, infinity, a lone surrogate
        raise ArtifactError(f"artifact: the header cannot be written: {error}") from error


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_RAW_BYTES


def _is_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(child, str) for child in value.values())


def _entries(root: Mapping[str, Any]) -> Iterator[Entry]:
    columns = [root[key] for key in _TENSOR_KEYS]
    table = root["table"]
    if not all(isinstance(column, list) for column in (*columns, table)) or len(set(map(len, columns))) != 1:
        raise ArtifactError("artifact: its tensor table has columns of different lengths")
    for kind in table:
        if not (isinstance(kind, list) and list(map(type, kind)) == [str, int, str]):
            raise ArtifactError(f"artifact: {kind!r} is no storage kind (scheme, bits, role)")
        if kind[0] not in SCHEMES:
            raise ArtifactError(f"artifact: unknown scheme {kind[0]!r} (known: {', '.join(SCHEMES)})")
    for name, shape, kind in zip(*columns, strict=True):
        if not isinstance(name, str) or not (_is_count(kind) and kind < len(table)):
            raise ArtifactError(f"artifact: tensor {name!r} has no storage kind")
        if not isinstance(shape, list) or len(shape) > 8 or not all(map(_is_count, shape)):
            raise ArtifactError(f"artifact: tensor {name!r} has an impossible shape")
        scheme, bits, role = table[kind]
        yield Entry(name, tuple(shape), scheme, bits, role)


def _streams(rows: Any) -> Iterator[Stream]:
    if not isinstance(rows, list):
        raise ArtifactError("artifact: its stream table is not a list")
    for row in rows:
        if not (isinstance(row, list) and list(map(type, row)) == [str, str, int, int, int]):
            raise ArtifactError(f"artifact: {row!r} is no stream (name, codec, lengths, checksum)")
        if not (_is_count(row[2]) and _is_count(row[3]) and 0 <= row[4] < 1 << 32):
            raise ArtifactError(f"artifact: stream {row[0]!r} declares an impossible length")
        yield Stream(*row)
