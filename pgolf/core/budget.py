"""How the training budget is shared between training itself and the calibration that reads training text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def training_seconds(budget: Mapping[str, Any], reserve_seconds: float) -> float:
    """Seconds for training itself, ``reserve_seconds`` of calibration taken off.

    A fixed number of steps takes as long as it takes; nothing is taken off then.
    """
    reserve = reserve_seconds if budget["train_steps"] is None else 0.0
    return float(budget["train_seconds"]) - reserve


def seconds_left(budget: Mapping[str, Any], train_seconds: float) -> float | None:
    """What ``train_seconds`` of training leave of the budget; None, no limit, where the steps are fixed."""
    return None if budget["train_steps"] is not None else float(budget["train_seconds"]) - train_seconds
