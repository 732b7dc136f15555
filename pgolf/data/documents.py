"""Read documents from text files, and deal them into splits by the mod-10 rule."""

from __future__ import annotations

import gzip
import lzma
import os  # its isfile and isdir say no where Path's raise: names too long, or with a zero byte
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from glob import escape, glob
from pathlib import Path

from pgolf.core.command import home
from pgolf.core.errors import DataError
from pgolf.core.json_text import BYTE_ORDER_MARK, parse_json

SUFFIXES = (".txt", ".txt.gz", ".txt.xz", ".jsonl")
_BLANK_LINE = re.compile(r"(?:\r?\n[ \t]*){2,}")


def split_of(index: int) -> str:
    """Of the document with this place in the frozen order: 9 validates, 4 is dev, the rest train (mod 10)."""
    return {9: "val", 4: "dev"}.get(index % 10, "train")


def match_files(patterns: Sequence[str]) -> list[Path]:
    """Files that match, each once, in name order. Raises DataError for a pattern without a match
    and for a file of another kind.

    What exists is meant as it is spelt: a file whole, otherwise the folders before the first wildcard, so that
    brackets in a name are no choice of characters.
    """
    found: set[str] = set()
    for pattern in patterns:
        path = home(pattern)
        matches = [str(path)] if os.path.isfile(path) else _glob_files(path)
        if not matches:
            hint = f"; it is a folder, write {pattern.rstrip('/')}/*.txt" if os.path.isdir(path) else ""
            raise DataError(f"data.paths: no file matches {pattern!r}{hint}")
        found.update(matches)
    if not found:
        raise DataError("data.paths: names no files; give one or more globs of " + ", ".join(SUFFIXES))
    files = [Path(path) for path in sorted(found)]
    for path in files:
        if not path.name.endswith(SUFFIXES):
            raise DataError(f"{path}: not one of {', '.join(SUFFIXES)}")
    return files


def _glob_files(pattern: Path) -> list[str]:
    spelt = next((parent for parent in pattern.parents if os.path.isdir(parent)), None)
    if spelt is not None:
        pattern = Path(escape(str(spelt)), pattern.relative_to(spelt))
    return [path for path in glob(str(pattern), recursive=True) if os.path.isfile(path)]


def decode_utf8(raw: bytes, where: str) -> str:
    """Text without any translation of line ends. Raises DataError naming the first bad byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 (byte {raw[error.start]:#04x} at {error.start:,})") from error


def read_text(path: Path) -> str:
    """A .txt file, plain or compressed, byte for byte: a byte order mark in it is text like any other.

    Raises DataError for what cannot be read, unpacked or decoded.
    """
    unpack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}
    try:
        raw = path.read_bytes()
        raw = unpack.get(path.suffix, bytes)(raw)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return decode_utf8(raw, str(path))


def jsonl_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number, line) of every line that is not blank. Raises DataError for a file that cannot be read.

    A byte order mark is left out wherever a line begins with it: files that have one are also joined.
    """
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.removeprefix(BYTE_ORDER_MARK)
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def read_jsonl(path: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of each line's ``text`` field. Raises DataError naming the line, or a file without any."""
    where = ""
    for number, line in jsonl_lines(path):
        where = f"{path}:{number}"
        yield where, _text_field(line, where)
    if not where:
        raise DataError(f"{path}: empty, no document in it")


def _text_field(line: bytes, where: str) -> str:
    record = parse_json(line, where, DataError)
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        keys = ", ".join(sorted(record)) if isinstance(record, dict) else type(record).__name__
        raise DataError(f"{where}: no field 'text' with a text in it (found: {keys})")
    return record["text"]


def cut_at_blank_lines(text: str, at_least_bytes: int) -> list[str]:
    """Pieces that together are ``text``, each ending at a blank line once it has ``at_least_bytes``."""
    pieces, start, last = [], 0, 0
    size = 0
    for match in _BLANK_LINE.finditer(text):
        size += len(text[last : match.end()].encode())
        last = match.end()
        if size >= at_least_bytes:
            pieces.append(text[start:last])
            start, size = last, 0
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def read_documents(files: Sequence[Path], document_bytes: int) -> Iterator[tuple[str, str]]:
    """(name, text) in order. A .txt larger than ``document_bytes`` is cut at blank lines into several.

    Raises DataError for an empty document or one without a UTF-8 form.
    """
    for path in files:
        found = read_jsonl(path) if path.suffix == ".jsonl" else _cut_file(path, document_bytes)
        for name, text in found:
            if not text.strip():
                raise DataError(f"{name}: empty document")
            yield name, text


def _cut_file(path: Path, document_bytes: int) -> Iterator[tuple[str, str]]:
    text = read_text(path)
    if len(text.encode()) <= document_bytes:
        yield str(path), text
        return
    for index, piece in enumerate(cut_at_blank_lines(text, document_bytes)):
        yield f"{path}#{index}", piece
