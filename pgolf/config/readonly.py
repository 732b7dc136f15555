"""The finished config: mappings that refuse every change (style 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn


class ReadOnly(dict[str, Any]):
    """A dict that cannot be changed; copies of it (``{**cfg}``, ``dict(cfg)``) can."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the finished config is read-only; change it on the command line")

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = pop = popitem = clear = setdefault = _refuse


def read_only(node: Any) -> Any:
    """``node`` with every mapping in it, at any depth, read-only."""
    if isinstance(node, Mapping):
        return ReadOnly({key: read_only(value) for key, value in node.items()})
    if isinstance(node, list):
        return [read_only(value) for value in node]
    return node


def thaw(node: Any) -> Any:
    """A changeable copy of ``node`` at every depth."""
    if isinstance(node, Mapping):
        return {key: thaw(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [thaw(value) for value in node]
    return node
