"""From Python values to strict JSON: a number that is not finite becomes null, never the word NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any


def to_plain(value: Any) -> Any:
    """Return ``value`` as dicts, lists, strings, numbers, booleans and None, ready for strict JSON.

    Records become mappings, paths strings, zero-dimensional arrays and tensors numbers; NaN and the
    infinities become None. Anything else is written as ``str`` writes it.
    """
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(asdict(value))
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return to_plain(value.tolist())
    return str(value)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON of ``to_plain(value)``; what has no UTF-8 form, as in some file names, is escaped as JSON does."""
    text = json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode()
