"""What a search may choose: the axes of a sweep file, of which some may be intervals.

optimizer.matrix_lr: tag(log, interval(0.005, 0.08))     a number, even on the logarithm
train.grad_clip: interval(0.1, 1.0)                      a number
size.layers: tag(int, interval(4, 8))                    a whole number
optimizer: muon_adamw,normuon                            one of these
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgolf.config.words import parse
from pgolf.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Axis:
    """``choices`` as one would type them, or from ``low`` to ``high``, even on the logarithm if ``log``.

    ``whole``: in whole numbers.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False


def space_of(params: Mapping[str, Any], words: Sequence[str] = ()) -> tuple[list[Axis], list[str]]:
    """The axes, and the words that have one value. Raises ConfigError for an interval that is none."""
    axes: dict[str, Axis] = {}
    fixed: dict[str, str] = {}
    for override in parse([*(f"{key}={value}" for key, value in params.items()), *words]):
        key = override.get_key_element()
        axes.pop(key, None)
        fixed.pop(key, None)
        if not override.is_sweep_override():
            fixed[key] = f"{key}={override.get_value_element_as_str()}"
        elif override.is_interval_sweep():
            axes[key] = _interval(key, override.value())
        else:
            axes[key] = Axis(key, tuple(override.sweep_string_iterator()))
    return list(axes.values()), list(fixed.values())


def _interval(key: str, sweep: Any) -> Axis:
    low, high = float(sweep.start), float(sweep.end)
    log, whole = "log" in sweep.tags, "int" in sweep.tags
    if strange := sorted(set(sweep.tags) - {"log", "int"}):
        raise ConfigError(f"{key}: the tag {strange[0]!r} means nothing here; log and int do")
    if whole and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"{key}: an interval of whole numbers from {low:g} to {high:g}")
    if not low < high or (log and low <= 0):
        raise ConfigError(f"{key}: no interval from {low:g} to {high:g}" + " on the logarithm" * log)
    return Axis(key, low=low, high=high, log=log, whole=whole)
