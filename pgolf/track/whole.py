"""What of a result.json must be there for it to be one: the keys that every pgolf of this schema version has written.

Later keys, such as ``anomalies``, may be missing; whoever reads one says what stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NUMBER = "a number or null"  # null stands for what was no finite number
_KINDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    Mapping: "a mapping",
}
_TOP: dict[str, Any] = {"reason": str, "run": Mapping, "scores": Mapping, "ledger": Mapping, "budget": Mapping}
_RUN: dict[str, Any] = {"name": str, "seed": int, "rerun": int, "config_hash": str, "command": str}
_PARTS: dict[str, dict[str, Any]] = {
    "model": {"params": int, "size": str},
    "train": {
        **{"seconds": float, "steps": int, "tokens": int, "tokens_per_second": _NUMBER, "ms_per_step": _NUMBER},
        "stopped_by": str,
    },
    "artifact": {
        **dict.fromkeys(("bytes_total", "bytes_weights", "bytes_code", "bytes_tokenizer", "cap_bytes"), int),
        **{"path": str, "sha256": str, "code_label": str, "counts_tokenizer": bool},
    },
    "certificate": {"passed": bool, "probes": list},
}
_SCORE: dict[str, Any] = {
    **dict.fromkeys(("val_loss", "val_bpb", "side_bits", "sum_p_mean", "sum_p_max"), _NUMBER),
    **dict.fromkeys(("claimed_bpb", "renormalised_bpb", "seconds"), _NUMBER),
    **dict.fromkeys(("window", "stride", "tokens", "bytes"), int),
    **{"method": str, "metric": str, "split": str, "subset": bool, "valid": bool},
}


def half(result: Mapping[str, Any], scores: tuple[str, ...]) -> str | None:
    """The first thing that is not in ``result`` as it should be, of the named ``scores`` too; None for a whole one."""
    return next(_problems(result, scores), None)


def _problems(result: Mapping[str, Any], scores: tuple[str, ...]) -> Iterator[str]:
    yield from _of("", result, _TOP)
    yield from _of("run.", result["run"], _RUN)
    for name, keys in _PARTS.items():
        yield from _of_part(name, result, keys)
    for name in scores:
        yield from _of_part(name, result["scores"], _SCORE, "scores.")


def _of_part(name: str, node: Mapping[str, Any], keys: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Of a part that is null where its stage was not reached."""
    if name not in node:
        yield f"{place}{name} is not in it"
    if node[name] is not None:
        yield from _of(place, node, {name: Mapping})
        yield from _of(f"{place}{name}.", node[name], keys)


def _of(place: str, node: Mapping[str, Any], keys: Mapping[str, Any]) -> Iterator[str]:
    for key, kind in keys.items():
        if key not in node:
            yield f"{place}{key} is not in it"
        if not _is(node[key], kind):
            yield f"{place}{key} is {node[key]!r:.60}, not {_KINDS.get(kind, kind)}"


def _is(value: Any, kind: Any) -> bool:
    if kind == _NUMBER:
        return value is None or _is(value, float)
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind)
