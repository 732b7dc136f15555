"""A TokenMonster vocabulary from a local file, with its published byte metadata: 'Scylla'.

Encoding is the package's (an ungreedy search through the vocabulary, PyPI ``tokenmonster``, an extra of pgolf). What
scoring needs does without it: each id's surface and the metadata's ``base_bytes``, ``has_leading_space`` and
``is_boundary_token`` travel in the artifact beside the vocabulary. The one boundary token is BOS. Bytes of a target by
the ``table`` rule; ids beyond the metadata have 0, false, true.
Only vocabularies with capcode 0 and charset none are taken: there a token is the same bytes wherever it stands. The
metadata is held to those bytes id by id, which the withdrawn vocabulary of #1143 fails (byte tokens as three bytes,
4.13 % too many).
The package runs an executable, ``tokenmonsterserver``, which it fetches from a hub at its first use; here that is
asked for (``fetch_server: true``) or refused.
Source: #1143 and #1314; Forsythe's TokenMonster. Cost in bytes: surfaces, metadata and the vocabulary file.
Hurts: nothing of it can be learned from a text of one's own here; the vocabulary is brought.
"""

# N tokens of a stream, V vocabulary

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from pgolf.core.command import home
from pgolf.core.errors import DataError
from pgolf.core.ranges import Between
from pgolf.tokenizer.recipe import Texts, encodable, require_ids
from pgolf.tokenizer.tables import ByteTable

_METADATA_VERSION = 1
_HEADER_BYTES = 17
_LARGEST = 65536
_INSTALL = "its package is not installed: pip install 'pgolf[tokenmonster]'"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Of ``X.meta.npz``, which lists the first ``listed`` ids, filled up to the vocabulary's size."""

    source: str
    table: ByteTable
    listed: int

    @property
    def bos_id(self) -> int:
        """The one boundary token. Raises DataError where there is none or more."""
        listed = np.flatnonzero(self.table.bound_V[: self.listed])
        if len(listed) != 1:
            raise DataError(
                f"{self.source}: {len(listed)} boundary tokens, one is needed to begin documents"
                + ("" if len(listed) else " (the withdrawn vocabulary has none)")
            )
        return int(listed[0])


def metadata_beside(vocabulary: Path) -> Path:
    """Its metadata: ``X.meta.npz`` for ``X.model``, ``X.vocab`` and ``X.yaml``, else the name + ``.meta.npz``."""
    known = vocabulary.suffix in (".model", ".vocab", ".yaml")
    return vocabulary.with_suffix(".meta.npz") if known else vocabulary.with_name(vocabulary.name + ".meta.npz")


def read_metadata(path: Path, vocab_size: int) -> Metadata:
    """Reads no pickled object. Raises DataError naming what is missing, of another kind or out of range."""
    try:
        with np.load(path, allow_pickle=False) as file:
            entries = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(f"{path}: no metadata that can be read ({error})") from error
    except Exception as error:  # zipfile's and zlib's own
        raise DataError(f"{path}: damaged ({error})") from error
    shapes = {"base_bytes": np.int16, "has_leading_space": np.bool_, "is_boundary_token": np.bool_}
    scalars = ("format_version", "tokenizer_kind", "source_model_name", "vocab_size")
    missing = [name for name in (*scalars, *shapes) if name not in entries]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}")
    version, kind, source, size = (str(entries[name]) if entries[name].ndim == 0 else None for name in scalars)
    if version != str(_METADATA_VERSION) or kind != "tokenmonster":
        raise DataError(f"{path}: format_version {version} of {kind!r}, this program reads 1 of 'tokenmonster'")
    lengths = {name: entries[name].shape for name in shapes}
    wrong = [name for name, dtype in shapes.items() if entries[name].dtype != dtype or lengths[name] != (_whole(size),)]
    if wrong:
        found = ", ".join(f"{name} {entries[name].dtype}{list(lengths[name])}" for name in wrong)
        raise DataError(f"{path}: {found} where vocab_size is {size}")
    if _whole(size) > vocab_size:
        raise DataError(f"{path}: describes {size} ids, the vocabulary has {vocab_size:,}")
    bytes_V, lead_V, bound_V = np.zeros(vocab_size, np.int64), np.zeros(vocab_size, bool), np.ones(vocab_size, bool)
    for whole, name in zip((bytes_V, lead_V, bound_V), shapes, strict=True):
        whole[: _whole(size)] = entries[name]
    if (bytes_V < 0).any():
        raise DataError(f"{path}: id {int(np.argmax(bytes_V < 0))} has {int(bytes_V.min())} bytes")
    return Metadata(f"{path} ({source})", ByteTable(bytes_V, lead_V, bound_V), _whole(size))


def _whole(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d+", text) else -1


class TokenMonsterTokenizer:
    """``surfaces_V`` are bytes by id, ``vocabulary`` the content of a .vocab file, of use to the package alone."""

    kind: ClassVar[str] = "tokenmonster"
    metric: Literal["raw", "table"] = "table"

    def __init__(
        self, *, name: str, bos_id: int, surfaces_V: Sequence[bytes], table: ByteTable, vocabulary: bytes
    ) -> None:
        self.name, self.bos_id = name, bos_id
        self.surfaces_V, self.table = list(surfaces_V), table
        self.vocab_size = len(self.surfaces_V)
        self._vocabulary = vocabulary
        self._package: Any = None
        _require_exact(name, self.surfaces_V, table)

    def encode(self, text: str) -> np.ndarray:
        """Ids (uint16 [n]) of ``text``, without BOS. Raises DataError for lone surrogates and where the package is
        not at hand."""
        encodable(text)
        if not text:
            return np.zeros(0, dtype=np.uint16)
        if self._package is None:
            self._package = _opened(self._vocabulary, self.name, fetch_server=False)
        return np.asarray(self._package.tokenize(text.encode()), dtype=np.uint16)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        array = require_ids(np.asarray(ids, dtype=np.int64), self.vocab_size)
        return b"".join(self.surfaces_V[index] for index in array.tolist()).decode(errors="replace")

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """Bytes of each target by the metadata's tables, given its predecessor: int64 [N-1]."""
        return self.table.target_bytes(tokens_N)

    def to_blob(self) -> bytes:
        from pgolf.tokenizer.blob import pack

        lengths = np.array([len(surface) for surface in self.surfaces_V], dtype="<u2").tobytes()
        table = self.table.bytes_V.astype("<u2").tobytes()
        flags = (self.table.lead_V + 2 * self.table.bound_V).astype(np.uint8).tobytes()
        header = {"kind": self.kind, "name": self.name, "bos_id": self.bos_id, "vocab_size": self.vocab_size}
        return pack(header, lengths + table + flags + b"".join(self.surfaces_V) + self._vocabulary)

    @classmethod
    def from_parts(cls, header: dict, body: bytes) -> TokenMonsterTokenizer:
        size = header["vocab_size"]
        lengths, table = (np.frombuffer(body, "<u2", size, 2 * size * part).astype(np.int64) for part in (0, 1))
        flags = np.frombuffer(body, np.uint8, size, 4 * size)
        ends = 5 * size + np.cumsum(lengths)
        return cls(
            name=header["name"],
            bos_id=header["bos_id"],
            surfaces_V=[body[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)],
            table=ByteTable(table, (flags & 1).astype(bool), (flags & 2).astype(bool)),
            vocabulary=body[int(ends[-1]) :],
        )


def _require_exact(name: str, surfaces_V: Sequence[bytes], table: ByteTable) -> None:
    """Raise DataError for the first id whose metadata are not the bytes of its surface."""
    lengths_V = np.array([len(surface) for surface in surfaces_V], dtype=np.int64)
    counted_V = table.bytes_V + table.lead_V
    wrong = np.flatnonzero((counted_V != lengths_V) & ~(table.bound_V & (counted_V == 0)))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{name}: the metadata of {len(wrong):,} ids are not the bytes they stand for, first id {first}: "
            f"{int(counted_V[first])} for {surfaces_V[first]!r}; a score by them would be wrong"
        )


class TokenMonster:
    """Recipe of ``tokenizer=tokenmonster``; ``metadata_file`` null: the one beside the vocabulary."""

    metric: Literal["raw", "table"] = "table"
    brings_model = True

    def __init__(
        self,
        *,
        name: str,
        vocab_size: Annotated[int, Between(2, _LARGEST)],
        vocabulary_file: str | None,
        metadata_file: str | None,
        fetch_server: bool,
    ) -> None:
        self.name, self.vocab_size = name, vocab_size
        self.vocabulary_file, self.metadata_file, self.fetch_server = vocabulary_file, metadata_file, fetch_server

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> TokenMonsterTokenizer:
        """Load both files. Raises DataError for what is missing, of another kind or size, or does not agree."""
        if self.vocabulary_file is None:
            raise DataError(
                f"tokenizer={self.name}: name its vocabulary with tokenizer.vocabulary_file=PATH (.vocab or .yaml); "
                "its metadata X.meta.npz is looked for beside it"
            )
        path = home(self.vocabulary_file)
        beside = metadata_beside(path) if self.metadata_file is None else home(self.metadata_file)
        metadata = read_metadata(beside, self.vocab_size)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"tokenizer={self.name}: {path} cannot be read ({error.strerror or error})") from error
        if path.suffix == ".yaml":
            content = _saved(content, str(path), self.fetch_server)
        _require_plain(content, str(path))
        listed = _opened(content, str(path), self.fetch_server).get_dictionary()
        largest = max(listed, default=-1)
        if largest >= self.vocab_size:
            raise DataError(f"{path}: has id {largest}, tokenizer={self.name} has {self.vocab_size:,} ids")
        surfaces_V = [
            listed[index]["token_decoded"].encode("latin-1") if index in listed else b""
            for index in range(self.vocab_size)
        ]
        return TokenMonsterTokenizer(
            name=self.name,
            bos_id=metadata.bos_id,
            surfaces_V=surfaces_V,
            table=metadata.table,
            vocabulary=content,
        )


def _require_plain(vocabulary: bytes, where: str) -> None:
    """Raise DataError unless the .vocab file's header says capcode 0 and charset none."""
    if len(vocabulary) < _HEADER_BYTES:
        raise DataError(f"{where}: not a TokenMonster vocabulary ({len(vocabulary)} bytes)")
    capcode, charset = vocabulary[:2]
    if capcode or charset:
        raise DataError(
            f"{where}: capcode {capcode}, charset {charset}; only a vocabulary with capcode 0 and charset none (0) has "
            "the same bytes for a token wherever it stands"
        )


def _module(where: str, fetch_server: bool) -> Any:
    """The package, with its server at hand."""
    try:
        module = import_module("tokenmonster")
    except ImportError as error:
        raise DataError(f"{where}: a TokenMonster vocabulary, and {_INSTALL}") from error
    module.Vocab._set_local_directory()
    server = Path(module.Vocab._dir) / module.Vocab._bin
    if not server.is_file() and not fetch_server:
        raise DataError(
            f"{where}: the package tokenmonster runs an executable that is not at {server}. It fetches one from "
            "huggingface.co/alasdairforsythe/tokenmonster where tokenizer.fetch_server=true allows it; or put it there"
        )
    return module


def _opened(vocabulary: bytes, where: str, fetch_server: bool) -> Any:
    module = _module(where, fetch_server)
    with tempfile.TemporaryDirectory(prefix="pgolf-") as folder:
        path = Path(folder) / "v.vocab"
        path.write_bytes(vocabulary)
        return _asked(where, lambda: module.load(str(path)))


def _saved(yaml: bytes, where: str, fetch_server: bool) -> bytes:
    """The .vocab file of a vocabulary in YAML."""
    module = _module(where, fetch_server)
    with tempfile.TemporaryDirectory(prefix="pgolf-") as folder:
        path = Path(folder) / "v.vocab"
        _asked(where, lambda: module.new(yaml).save(str(path)))
        return path.read_bytes()


def _asked(where: str, ask: Any) -> Any:
    try:
        return ask()
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"{where}: tokenmonster cannot load it ({error})") from error
