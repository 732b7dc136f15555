"""Prune nothing.

Formula: W as trained. Source: every submission but #180, #576, #687, #860 and #1004. Cost in bytes: none.
Cost in step time: none. When it hurts: it does not.
"""

from __future__ import annotations

from pgolf.quant.pruning.base import Pruning


class NoPruning(Pruning):
    """``quant/pruning=none``."""

    def __init__(self) -> None:
        pass
