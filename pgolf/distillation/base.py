"""The contract of the group: who is trained before the run's own model, and what that one learns from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgolf.core.protocols import Model
from pgolf.train.trainer import Hook


class Distillation:
    """``share``: the fraction of the training budget that goes to the teacher."""

    share: float = 0.0

    def teacher(self, arch: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The teacher's settings where the run's model has those of ``arch``; None: there is none."""
        return None

    def attach(self, model: Model, teacher: Model) -> Sequence[Hook]:
        """Where there is a teacher: give ``model`` its term of the loss; the hooks that go with it."""
        raise NotImplementedError
