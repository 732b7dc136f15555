"""The one reader of JSON that others may have written: bytes in, plain values out, or an error that names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pgolf.core.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # editors put it before UTF-8; it belongs to the encoding, not to the JSON
# Nobody's records nest deeper, and whoever walks, copies or writes back what was read does so by recursion.
MAX_DEPTH = 100


def parse_json(raw: bytes, where: str, error: type[UserError]) -> Any:
    """The value that ``raw`` spells in UTF-8, a byte order mark before it or not.

    Raises ``error`` for other bytes, other text, numbers too long to convert, and for more than ``MAX_DEPTH`` levels.
    """
    try:
        text = raw.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as problem:
        place = f"byte {raw[problem.start]:#04x} at {problem.start:,}"
        raise error(f"{where}: not UTF-8 ({place})") from problem
    try:
        value = json.loads(text)
        if text.count("[") + text.count("{") > MAX_DEPTH and too_deep(value):
            raise RecursionError
    except RecursionError:
        raise error(f"{where}: nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as problem:
        raise error(f"{where}: not JSON ({problem})") from problem
    return value


def read_json(path: Path, error: type[UserError]) -> Any:
    """The value in the file at ``path``. Raises ``error`` as ``parse_json`` does, and where it cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror or problem})") from problem
    return parse_json(raw, str(path), error)


def too_deep(value: Any) -> bool:
    """Whether mappings and lists nest more than ``MAX_DEPTH`` levels; found without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [node for node in level if isinstance(node, (dict, list))]
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
    return any(isinstance(node, (dict, list)) for node in level)
