"""The artifact file: a model and its tokenizer in as few bytes as they need, refused unless intact.

    magic 6 | version u16 | total length u64                             16 bytes, little endian
    codec id (u8 length, ASCII) | raw length u32 | packed length u32 | CRC-32     of the header
    header, packed                          canonical JSON, see ``pgolf.artifact.header``
    streams, packed, in the order of the header's table
    SHA-256 of everything before it                                      32 bytes

Streams by kind, so that like meets like: the codes of each role (``q.<role>``), the scales of all of them,
exactly kept tensors by dtype, the tokenizer, packed counts. int8 codes lie row-major, one byte each; floats are split
into byte planes. A stream that does not get smaller is kept as it is (codec ``raw``). Nothing here depends on
time, place, process or hash order: same inputs, same bytes. No pickle, nothing executable.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pgolf.artifact.corrections import check_corrections
from pgolf.artifact.header import (
    HEADER,
    MAX_RAW_BYTES,
    PACKED,
    SCALES,
    TOKENIZER,
    Directory,
    Entry,
    Stream,
    check_names,
    entry_of,
    from_json,
    plain_bytes,
    shapes_of,
    stream_layouts,
    stream_lengths,
    to_json,
)
from pgolf.compressor.registry import decoder
from pgolf.core.atomic import write_bytes_atomic
from pgolf.core.errors import ArtifactError
from pgolf.core.protocols import Compressor
from pgolf.core.results import Layout, QuantizedState, StoredTensor
from pgolf.core.threads import threaded
from pgolf.quant.schemes import ArrayPart, problem_of

MAGIC = b"\x89pgolf"
VERSION = 2
RAW = "raw"
T = TypeVar("T")

_PRELUDE = struct.Struct("<6sHQ")
_HEADER_SIZES = struct.Struct("<III")
_DIGEST_BYTES = 32
_MAX_HEADER_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Loaded:
    """An artifact read back. ``sha256`` is of the whole file, hexadecimal.

    ``bytes_by_role`` splits the file's length: one entry per role, ``scales``, ``tokenizer``, ``packed``, ``header``
    (which includes lengths and checksums). Their sum is the length of the file.
    """

    header: Mapping[str, Any]
    state: QuantizedState
    tokenizer_blob: bytes
    sha256: str
    bytes_by_role: Mapping[str, int]
    packed_blob: bytes = b""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One stream (or the header) of an artifact: how it was packed, what it holds and what that is."""

    name: str
    codec: str
    packed_length: int
    raw: bytes
    layout: Layout


def encode(
    header: Mapping[str, Any],
    state: QuantizedState,
    tokenizer_blob: bytes,
    compressor: Compressor,
    packed_blob: bytes = b"",
) -> bytes:
    """Pack ``state``, ``tokenizer_blob``, ``packed_blob`` (counts) and the caller's ``header`` (plain JSON values).

    Raises ArtifactError for tensors or a header that could not be read back.
    """
    tensors = sorted(state.tensors, key=lambda tensor: tensor.name)
    for tensor in tensors:
        problem = problem_of(tensor)
        if problem:
            raise ArtifactError(f"artifact: tensor {tensor.name!r}: {problem}")
    entries = tuple(entry_of(tensor) for tensor in tensors)
    check_names(entries, state.aliases)
    check_corrections(shapes_of(entries), state.aliases, state.corrections)
    blobs = {TOKENIZER: tokenizer_blob, PACKED: packed_blob}
    blob_bytes = {name: len(blob) for name, blob in blobs.items()}
    raw_streams = _join(tensors, stream_lengths(entries, blob_bytes), blobs)
    layouts = stream_layouts(entries, blob_bytes)
    packed_streams = threaded(lambda name: _pack(raw_streams[name], compressor, layouts[name]), list(raw_streams))
    streams = tuple(
        Stream(name, codec, len(raw), len(packed), zlib.crc32(packed))
        for (name, raw), (codec, packed) in zip(raw_streams.items(), packed_streams, strict=True)
    )
    raw_header = to_json(Directory(entries, state.aliases, state.corrections, streams, header))
    codec, packed_header = _pack(raw_header, compressor, plain_bytes(len(raw_header)))
    middle = [
        bytes([len(codec)]) + codec.encode("ascii"),
        _HEADER_SIZES.pack(len(raw_header), len(packed_header), zlib.crc32(packed_header)),
        packed_header,
        *(packed for _, packed in packed_streams),
    ]
    total = _PRELUDE.size + sum(map(len, middle)) + _DIGEST_BYTES
    body = b"".join([_PRELUDE.pack(MAGIC, VERSION, total), *middle])
    return body + hashlib.sha256(body).digest()


def decode(data: bytes) -> Loaded:
    """Read an artifact back. Raises ArtifactError unless every byte of it is as it was written."""
    _check_outside(data)
    directory, start = _directory(data)
    raw_streams = _unpack_streams(data, directory, start)
    tensors = _split(directory.entries, raw_streams)
    for tensor in tensors:
        problem = problem_of(tensor)
        if problem:
            raise ArtifactError(f"artifact: tensor {tensor.name!r}: {problem}")
    return Loaded(
        header=directory.run,
        state=QuantizedState(tensors, directory.aliases, directory.corrections),
        tokenizer_blob=raw_streams.get(TOKENIZER, b""),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes_by_role=_bytes_by_role(directory, len(data)),
        packed_blob=raw_streams.get(PACKED, b""),
    )


def bytes_by_role(data: bytes) -> dict[str, int]:
    """What ``Loaded.bytes_by_role`` will be, without unpacking anything. Raises ArtifactError."""
    _check_outside(data)
    return _bytes_by_role(_directory(data)[0], len(data))


def write(path: Path | str, data: bytes) -> None:
    """Put ``data`` at ``path`` whole, or leave what was there. Raises RunError (full disk, no permission)."""
    write_bytes_atomic(path, data)


def read(path: Path | str) -> Loaded:
    """The artifact at ``path``. Raises ArtifactError, naming the file."""
    return _of_file(path, decode)


def contents(path: Path | str) -> bytes:
    """The bytes of the artifact at ``path``, whole as it was written. Raises ArtifactError, naming the file."""
    return _of_file(path, _intact)


def codecs(path: Path | str) -> tuple[str, ...]:
    """Ids of the codecs that reading ``path`` takes. Raises ArtifactError."""
    return _of_file(path, _codecs)


def unpacked(path: Path | str) -> tuple[Unpacked, ...]:
    """The header of the artifact at ``path``, then its streams in their order. Raises ArtifactError."""
    return _of_file(path, _unpacked)


def _of_file(path: Path | str, use: Callable[[bytes], T]) -> T:
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ArtifactError("artifact: a folder, pipe or device, not a file")
        if path.stat().st_size > MAX_RAW_BYTES:
            raise ArtifactError(f"artifact: {path.stat().st_size:,} bytes are more than any artifact has")
        return use(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"artifact: cannot read {path}: {error.strerror or error}") from error
    except ArtifactError as error:
        raise ArtifactError(f"{error} ({path})") from error


def _intact(data: bytes) -> bytes:
    _check_outside(data)
    return data


def _codecs(data: bytes) -> tuple[str, ...]:
    _check_outside(data)
    used = {_header_codec(data), *(stream.codec for stream in _directory(data)[0].streams)}
    return tuple(sorted(used - {RAW}))


def _unpacked(data: bytes) -> tuple[Unpacked, ...]:
    _check_outside(data)
    directory, start = _directory(data)
    raw_streams = _unpack_streams(data, directory, start)
    layouts = stream_layouts(directory.entries, _blob_bytes(directory))
    raw_header = to_json(directory)
    packed_header = start - _PRELUDE.size - 1 - len(_header_codec(data)) - _HEADER_SIZES.size
    head = Unpacked(HEADER, _header_codec(data), packed_header, raw_header, plain_bytes(len(raw_header)))
    streams = (
        Unpacked(s.name, s.codec, s.packed_length, raw_streams[s.name], layouts[s.name]) for s in directory.streams
    )
    return (head, *streams)


def _header_codec(data: bytes) -> str:
    """Readable once ``_directory`` has found that there is room for it."""
    at = _PRELUDE.size
    return data[at + 1 : at + 1 + data[at]].decode("ascii", errors="replace")


def _pack(raw: bytes, compressor: Compressor, layout: Layout) -> tuple[str, bytes]:
    packed = compressor.encode(raw, layout)
    return (compressor.codec_id, packed) if len(packed) < len(raw) else (RAW, raw)


def _unpack(codec: str, packed: bytes, raw_length: int, layout: Layout) -> bytes:
    if codec != RAW:
        return decoder(codec)(packed, raw_length, layout)
    if len(packed) != raw_length:
        raise ArtifactError(f"artifact: a raw stream of {len(packed):,} bytes declares {raw_length:,}")
    return packed


def _check_outside(data: bytes) -> None:
    """What can be told without understanding anything: magic, version, length, digest."""
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise ArtifactError("artifact: not a pgolf artifact (it begins with other bytes)")
    if len(data) < _PRELUDE.size + _DIGEST_BYTES:
        raise ArtifactError(f"artifact: truncated; {len(data)} bytes are too few for any artifact")
    _, version, total = _PRELUDE.unpack_from(data)
    if version != VERSION:
        age = "a newer" if version > VERSION else "an older"
        raise ArtifactError(f"artifact: format version {version}, from {age} pgolf; this one reads version {VERSION}")
    if len(data) < total:
        raise ArtifactError(f"artifact: truncated; {len(data):,} of {total:,} bytes are there")
    if len(data) > total:
        raise ArtifactError(f"artifact: {len(data) - total:,} trailing bytes after its declared {total:,}")
    if hashlib.sha256(data[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
        raise ArtifactError("artifact: damaged; its SHA-256 does not match its bytes")


def _directory(data: bytes) -> tuple[Directory, int]:
    """The header and the offset of the first stream."""
    end = len(data) - _DIGEST_BYTES
    at = _PRELUDE.size + 1 + data[_PRELUDE.size]
    if at + _HEADER_SIZES.size > end:
        raise ArtifactError("artifact: no room for its header")
    codec = _header_codec(data)
    raw_length, packed_length, crc = _HEADER_SIZES.unpack_from(data, at)
    start = at + _HEADER_SIZES.size
    if raw_length > _MAX_HEADER_BYTES or packed_length > end - start:
        raise ArtifactError(f"artifact: its header declares an impossible length ({raw_length:,} bytes)")
    packed = data[start : start + packed_length]
    if zlib.crc32(packed) != crc:
        raise ArtifactError("artifact: CRC-32 mismatch in its header")
    return from_json(_unpack(codec, packed, raw_length, plain_bytes(raw_length))), start + packed_length


def _unpack_streams(data: bytes, directory: Directory, start: int) -> dict[str, bytes]:
    """Raw bytes by stream name; lengths are compared with what the tensors need before anything is unpacked."""
    declared = {stream.name: stream.raw_length for stream in directory.streams}
    wanted = stream_lengths(directory.entries, _blob_bytes(directory))
    for name in wanted:
        if name not in declared:
            raise ArtifactError(f"artifact: stream {name!r} is missing; tensors are without their bytes")
    for name, length in declared.items():
        if name not in wanted:
            raise ArtifactError(f"artifact: stream {name!r} belongs to no tensor")
        if length != wanted[name]:
            raise ArtifactError(f"artifact: stream {name!r} declares {length:,} bytes, its tensors {wanted[name]:,}")
    if [stream.name for stream in directory.streams] != list(wanted):
        raise ArtifactError("artifact: its streams are there twice or out of order")
    ends = len(data) - _DIGEST_BYTES
    if start + sum(stream.packed_length for stream in directory.streams) != ends:
        raise ArtifactError("artifact: the lengths of its streams do not add up to its own")
    layouts = stream_layouts(directory.entries, _blob_bytes(directory))
    bodies = {}
    for stream in directory.streams:
        bodies[stream.name] = data[start : start + stream.packed_length]
        start += stream.packed_length
        if zlib.crc32(bodies[stream.name]) != stream.crc32:
            raise ArtifactError(f"artifact: CRC-32 mismatch in stream {stream.name!r}")
    raw = threaded(
        lambda stream: _unpack(stream.codec, bodies[stream.name], stream.raw_length, layouts[stream.name]),
        directory.streams,
    )
    return dict(zip(declared, raw, strict=True))


def _blob_bytes(directory: Directory) -> dict[str, int]:
    return {stream.name: stream.raw_length for stream in directory.streams if stream.name in (TOKENIZER, PACKED)}


def _join(tensors: list[StoredTensor], lengths: Mapping[str, int], blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Raw streams in the order of ``lengths``."""
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in lengths}
    for tensor in tensors:
        entry = entry_of(tensor)
        for part in entry.parts():
            if part.nbytes:
                arrays[entry.stream_of(part)].append(np.asarray(tensor.arrays[part.field], dtype=part.dtype))
    streams = {name: _planes(np.concatenate([a.reshape(-1) for a in held])) for name, held in arrays.items() if held}
    return {name: blobs[name] if name in blobs else streams[name] for name in lengths}


def _split(entries: tuple[Entry, ...], raw_streams: Mapping[str, bytes]) -> tuple[StoredTensor, ...]:
    """The tensors, their arrays copied out of the streams in the order of the names."""
    flat: dict[str, np.ndarray] = {}
    offsets: dict[str, int] = {}

    def take(entry: Entry, part: ArrayPart) -> np.ndarray:
        stream = entry.stream_of(part)
        if part.nbytes and stream not in flat:
            flat[stream] = _from_planes(raw_streams[stream], part.dtype)
        start = offsets.get(stream, 0)
        count = part.nbytes // np.dtype(part.dtype).itemsize
        offsets[stream] = start + count
        held = flat[stream][start : start + count] if count else np.empty(0, dtype=part.dtype)
        return held.reshape(part.shape).astype(np.dtype(part.dtype).newbyteorder("="))

    tensors = []
    for entry in entries:
        arrays = {part.field: take(entry, part) for part in entry.parts()}
        tensors.append(StoredTensor(entry.name, entry.role, entry.scheme, entry.shape, arrays, entry.bits))
    return tuple(tensors)


def _planes(values_N: np.ndarray) -> bytes:
    """All first bytes, then all second bytes: exponents compress once they stand apart from mantissas."""
    width = values_N.dtype.itemsize
    return values_N.view(np.uint8).reshape(-1, width).T.tobytes() if width > 1 else values_N.tobytes()


def _from_planes(raw: bytes, dtype: str) -> np.ndarray:
    planes = np.frombuffer(raw, dtype=np.uint8).reshape(np.dtype(dtype).itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(-1)


def _bytes_by_role(directory: Directory, total: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for stream in directory.streams:
        kind, _, role = stream.name.partition(".")
        role = {"scale": SCALES, TOKENIZER: TOKENIZER, PACKED: PACKED}.get(kind, role)
        sizes[role] = sizes.get(role, 0) + stream.packed_length
    return sizes | {HEADER: total - sum(sizes.values())}
