"""Every process computes every update.

Formula: none. Source: plain data parallelism. Cost in bytes: none. Cost in step time: no messages but the gradients',
and Newton–Schulz as often as there are processes. When it hurts: where the optimizer is a large part of the step.
"""

from __future__ import annotations

from pgolf.optimizer.sharding.base import Sharding


class Replicated(Sharding):
    """``optimizer/sharding=replicated``."""

    def __init__(self) -> None:
        pass
