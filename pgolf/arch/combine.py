"""Combinations of techniques that no model may have, refused when a model is built (spec arch §13).

What a technique can tell alone (an index out of range, a missing sublayer) it refuses itself; here stand the
rules between techniques.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pgolf.core.errors import ConfigError

GATES = "pgolf.arch.addon.gate_"
TWO_LANES = ("pgolf.arch.lanes.p1.", "pgolf.arch.lanes.p2.", "pgolf.arch.lanes.p4.")

TWO_READS = TWO_LANES[:2]  # p1 and p2 read once for attention and once for the MLP


def check_combination(lanes: Mapping[str, Any], addons: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ConfigError with every forbidden combination among these config nodes."""
    problems = list(
        _problems(str(lanes["_target_"]), {name: str(node["_target_"]) for name, node in addons.items()})
    )
    if problems:
        raise ConfigError(problems)


def _problems(lanes: str, addons: Mapping[str, str]) -> Iterator[str]:
    gates = sorted(name for name, target in addons.items() if target.startswith(GATES))
    if len(gates) > 1:
        yield f"arch/addon: {' and '.join(gates)} gate the same heads; choose one"
    if "ln_scale" in addons and "ln_scale_output" in addons:
        yield "arch/addon: ln_scale and ln_scale_output are alternatives, scaling inputs or outputs; choose one"
    if "hyper_connections" in addons and lanes.startswith(TWO_READS):
        yield "arch/addon: hyper_connections is not defined where a block reads twice (p1, p2); arch/lanes=none, p3 or p4"
    if "token_gate" in addons and lanes.startswith(TWO_LANES):
        yield "arch/addon: token_gate gates the whole block and is not defined for two lanes; arch/lanes=none or p3"
