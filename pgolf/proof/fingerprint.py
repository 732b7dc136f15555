"""A digest of everything an expert or a mixer could remember: the state fingerprint of probe (c).

Every tensor, array, number and text reachable through attributes, containers and closures is hashed. What lies
in a module's globals is out of its sight; the dynamic part of probe (c) does not depend on it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch


def fingerprint(*things: Any) -> str:
    """Hex digest of the state of ``things``; equal states give equal digests within one process."""
    digest = hashlib.blake2b(digest_size=16)
    seen: dict[int, int] = {}
    kept_alive: list[Any] = []
    _walk(list(things), digest, seen, kept_alive)
    return digest.hexdigest()


def _walk(root: Any, digest: Any, seen: dict[int, int], kept_alive: list[Any]) -> None:
    """Depth first without recursion; a thing met again counts as a reference to its first visit."""
    stack = [root]
    while stack:
        thing = stack.pop()
        if _leaf(thing, digest):
            continue
        if id(thing) in seen:
            digest.update(f"again:{seen[id(thing)]};".encode())
            continue
        seen[id(thing)] = len(seen)
        kept_alive.append(thing)
        digest.update(f"{type(thing).__qualname__};".encode())
        if isinstance(thing, torch.Tensor):
            _tensor(thing, digest)
        elif isinstance(thing, np.ndarray):
            digest.update(f"{thing.dtype}{thing.shape};".encode())
            digest.update(np.ascontiguousarray(thing).tobytes() if thing.dtype != object else repr(thing).encode())
        elif isinstance(thing, torch.Generator):
            _tensor(thing.get_state(), digest)
        else:
            stack.extend(_children(thing))


def _leaf(thing: Any, digest: Any) -> bool:
    if thing is None or isinstance(thing, (bool, int, float, complex, str, bytes, np.generic)):
        digest.update(f"{type(thing).__name__}:{thing!r};".encode())
        return True
    if isinstance(thing, (type, torch.dtype, torch.device)):
        digest.update(f"{thing!r};".encode())
        return True
    return False


def _tensor(tensor: torch.Tensor, digest: Any) -> None:
    values = tensor.detach().cpu().contiguous()
    digest.update(f"{values.dtype}{tuple(values.shape)};".encode())
    digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes() if values.numel() else b"")


def _children(thing: Any) -> list[Any]:
    if isinstance(thing, dict):
        return [part for pair in thing.items() for part in pair]
    if isinstance(thing, (list, tuple)):
        return list(thing)
    if isinstance(thing, (set, frozenset)):
        return sorted(thing, key=repr)
    children: list[Any] = []
    if isinstance(getattr(thing, "__closure__", None), tuple):
        children += [cell.cell_contents for cell in thing.__closure__]
    if hasattr(thing, "__self__"):
        children.append(thing.__self__)
    children += [getattr(thing, "__dict__", None)]
    for owner in type(thing).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        children += [getattr(thing, name, None) for name in names if name not in ("__dict__", "__weakref__")]
    return children
