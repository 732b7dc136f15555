"""How the training budget is shared: calibration that reads training text, what comes before and after the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from pgolf.core.errors import ConfigError


def training_seconds(budget: Mapping[str, Any], reserve_seconds: float) -> float:
    """Seconds for training itself, ``reserve_seconds`` of calibration taken off.

    A fixed number of steps takes as long as it takes; nothing is taken off then.
    """
    reserve = reserve_seconds if budget["train_steps"] is None else 0.0
    return float(budget["train_seconds"]) - reserve


def seconds_left(budget: Mapping[str, Any], train_seconds: float) -> float | None:
    """What ``train_seconds`` of training leave of the budget; None, no limit, where the steps are fixed."""
    return None if budget["train_steps"] is not None else float(budget["train_seconds"]) - train_seconds


@dataclass(frozen=True, slots=True)
class BudgetParts:
    """Of training, in seconds or, where these are fixed, in steps."""

    before: float
    main: float
    after: float
    steps: int | None = None  # of ``main``, where they are fixed


def parted(budget: Mapping[str, Any], reserve_seconds: float, before: float, after: float) -> BudgetParts:
    """The fraction ``before`` of the training, what is in between, and the fraction ``after`` of what is left then.

    Parts in steps are whole, those at the ends rounded up. Raises ConfigError where nothing is left in between.
    """
    steps = budget["train_steps"]
    if steps is None:
        seconds = training_seconds(budget, reserve_seconds)
        first = seconds * before
        last = (seconds - first) * after
        return BudgetParts(first, seconds - first - last, last)
    first = ceil(steps * before - 1e-9)
    last = ceil((steps - first) * after - 1e-9)
    if steps - first - last < 1:
        kept = f"{first:,} before and {last:,} after it"
        raise ConfigError(f"budget.train_steps: of {steps:,} steps, {kept} leave none for training itself")
    return BudgetParts(first, steps - first - last, last, steps - first - last)
