"""Token shards in the published format: 1,024 bytes of header, then uint16 ids, little-endian.

Header: 256 int32, [0] = 20240520, [1] = 1, [2] = token count, rest 0. Documents are delimited by BOS alone.
Names sort: ``fineweb_train_000000.bin``; per-token byte counts travel in ``fineweb_val_bytes_000000.bin``,
same format, and are no token shards.
"""

# N tokens of a shard or stream

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pgolf.core.errors import DataError

MAGIC, VERSION = 20240520, 1
HEADER_BYTES = 1024
_MAX_TOKENS = 2**31
_SIDECAR_MARK = "_bytes_"


@dataclass(frozen=True, slots=True)
class ShardSlice:
    """Tokens ``[start, stop)`` of one shard file: splits may share a file without rewriting it."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def open(self) -> np.ndarray:
        """The tokens as a memory map (uint16 [stop - start])."""
        tokens_N = read_shard(self.path)
        if not 0 <= self.start <= self.stop <= len(tokens_N):
            raise DataError(f"{self.path}: has {len(tokens_N):,} tokens, {self.start:,}..{self.stop:,} were asked for")
        return tokens_N[self.start : self.stop]


def shard_name(split: str, index: int) -> str:
    return f"fineweb_{split}_{index:06d}.bin"


def sidecar_name(split: str, index: int) -> str:
    return f"fineweb_{split}{_SIDECAR_MARK}{index:06d}.bin"


def find_shards(directory: Path, split: str) -> list[Path]:
    """Token shards of a split in sorted order, byte sidecars left out; may be empty."""
    return sorted(path for path in Path(directory).glob(f"fineweb_{split}_*.bin") if _SIDECAR_MARK not in path.name)


def find_sidecars(directory: Path, split: str) -> list[Path]:
    return sorted(Path(directory).glob(f"fineweb_{split}{_SIDECAR_MARK}*.bin"))


def shard_tokens(path: Path) -> int:
    """The token count of the header, checked against the file's size. Raises DataError."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            raw = file.read(HEADER_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such shard") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if len(raw) < HEADER_BYTES:
        raise DataError(f"{path}: short header, {len(raw)} of {HEADER_BYTES} bytes")
    header = np.frombuffer(raw, dtype="<i4")
    if header[0] != MAGIC:
        raise DataError(f"{path}: not a token shard (magic {header[0]}, expected {MAGIC})")
    if header[1] != VERSION:
        raise DataError(f"{path}: shard version {header[1]}, this program reads version {VERSION}")
    count = int(header[2])
    if count < 0 or size != HEADER_BYTES + 2 * count:
        expected = HEADER_BYTES + 2 * count
        raise DataError(f"{path}: {size:,} bytes, but the header says {count:,} tokens = {expected:,} bytes")
    return count


def read_shard(path: Path, vocab_size: int | None = None) -> np.ndarray:
    """The shard as a read-only memory map (uint16 [N]).

    Raises DataError for a missing or damaged file and, if ``vocab_size`` is given, for ids outside it.
    """
    count = shard_tokens(path)
    if count == 0:
        return np.zeros(0, dtype="<u2")
    tokens_N = np.memmap(path, dtype="<u2", mode="r", offset=HEADER_BYTES, shape=(count,))
    if vocab_size is not None:
        require_vocabulary(tokens_N, vocab_size, str(path))
    return tokens_N


def require_vocabulary(tokens_N: np.ndarray, vocab_size: int, where: str) -> None:
    """Raise DataError naming the first id outside ``[0, vocab_size)``."""
    if tokens_N.size == 0 or (int(tokens_N.max()) < vocab_size and int(tokens_N.min()) >= 0):
        return
    place = int(np.argmax((tokens_N >= vocab_size) | (tokens_N < 0)))
    raise DataError(f"{where}: id {int(tokens_N[place])} at token {place:,} is outside the vocabulary of {vocab_size}")


def write_shard(path: Path, tokens_N: np.ndarray | Sequence[int], vocab_size: int = 65536) -> None:
    """Write ids atomically. Raises DataError for ids outside the vocabulary, 2^31 tokens or more, a full disk."""
    tokens_N = np.asarray(tokens_N)
    if tokens_N.ndim != 1 or (not np.issubdtype(tokens_N.dtype, np.integer) and tokens_N.size):
        raise DataError(f"{path}: a shard is a list of whole numbers, not {tokens_N.dtype} {tokens_N.shape}")
    if tokens_N.size >= _MAX_TOKENS:
        raise DataError(f"{path}: {tokens_N.size:,} tokens, a shard holds fewer than 2^31")
    require_vocabulary(tokens_N, min(vocab_size, 65536), str(path))
    header = np.zeros(256, dtype="<i4")
    header[:3] = MAGIC, VERSION, tokens_N.size
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        with open(temporary, "wb") as file:
            file.write(header.tobytes())
            file.write(tokens_N.astype("<u2").tobytes())
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


class ShardWriter:
    """Collects the documents of one split and writes full shards of ``tokens_per_shard`` as they fill.

    A document may straddle two shards. ``close`` writes the last, short one. Adds BOS itself.
    """

    def __init__(self, *, directory: Path, split: str, vocab_size: int, bos_id: int, tokens_per_shard: int) -> None:
        if not 0 < tokens_per_shard < _MAX_TOKENS:
            raise DataError(f"shard_tokens: {tokens_per_shard:,} is out of range: from 1 to 2^31 - 1")
        self._directory, self._split = Path(directory), split
        self._vocab_size, self._bos_id = vocab_size, bos_id
        self._open = np.empty(tokens_per_shard, dtype=np.uint16)
        self._filled = 0
        self.paths: list[Path] = []
        self.tokens = 0
        self.documents = 0

    def add(self, ids_n: np.ndarray) -> None:
        """Append ``[BOS] + ids``. Raises DataError for ids outside the vocabulary."""
        ids_n = np.asarray(ids_n)
        require_vocabulary(ids_n, self._vocab_size, f"document {self.documents} of {self._split}")
        document = np.concatenate([[self._bos_id], ids_n]).astype(np.uint16)
        self.documents += 1
        self.tokens += len(document)
        while len(document):
            part = document[: len(self._open) - self._filled]
            self._open[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            document = document[len(part) :]
            if self._filled == len(self._open):
                self._flush()

    def _flush(self) -> None:
        path = self._directory / shard_name(self._split, len(self.paths))
        write_shard(path, self._open[: self._filled], self._vocab_size)
        self.paths.append(path)
        self._filled = 0

    def close(self) -> tuple[Path, ...]:
        """Write what is left; the paths of all shards in order."""
        if self._filled:
            self._flush()
        return tuple(self.paths)


def whole(paths: Sequence[Path]) -> tuple[ShardSlice, ...]:
    """Each file as one slice."""
    return tuple(ShardSlice(path, 0, shard_tokens(path)) for path in paths)


def read_stream(slices: Sequence[ShardSlice], limit: int | None = None) -> np.ndarray:
    """The slices joined, read into memory (uint16 [N]), at most ``limit`` tokens. Raises DataError if empty."""
    parts: list[np.ndarray] = []
    missing = limit if limit is not None else sum(len(piece) for piece in slices)
    for piece in slices:
        if missing <= 0:
            break
        parts.append(np.array(piece.open()[:missing], dtype=np.uint16))
        missing -= len(parts[-1])
    if not parts:
        raise DataError("the split has no tokens")
    return np.concatenate(parts)


def documents_of(slices: Sequence[ShardSlice], bos_id: int) -> Iterator[np.ndarray]:
    """Documents (uint16, BOS included) of a split in order, joined where they straddle shards.

    Tokens before the first BOS belong to a document that began elsewhere and are left out.
    """
    rest: list[np.ndarray] = []
    for piece in slices:
        tokens_N = piece.open()
        starts = np.flatnonzero(tokens_N == bos_id)
        bounds = [0, *starts.tolist(), len(tokens_N)]
        for begin, end in itertools.pairwise(bounds):
            if begin == end:
                continue
            part = tokens_N[begin:end]
            if part[0] == bos_id:
                if rest:
                    yield np.concatenate(rest)
                rest = [part]
            elif rest:
                rest.append(part)
    if rest:
        yield np.concatenate(rest)
