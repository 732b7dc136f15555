"""What a run leaves or goes on from: weights to export, and the state of all random numbers."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgolf.core.atomic import write_bytes_atomic


@dataclass(frozen=True, slots=True)
class Weights:
    """``state``: float32 weights by name, on the CPU; ``route``: the visits they were trained in; after ``step``."""

    state: Mapping[str, Tensor]
    route: str
    step: int


def save_weights(path: Path, weights: Weights) -> None:
    """Write ``weights`` whole or not at all. Raises RunError where that cannot be."""
    content = io.BytesIO()
    torch.save({"weights": dict(weights.state), "route": weights.route}, content)
    write_bytes_atomic(path, content.getvalue())


def random_state() -> dict[str, Any]:
    """The state of every generator a run may draw from."""
    kind, key_n, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "numpy": (kind, np.asarray(key_n).tolist(), *rest),  # a checkpoint holds no arrays
        "python": random.getstate(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None,
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Draw from here on what was drawn after ``random_state()``."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None:
        torch.mps.set_rng_state(state["mps"])
