"""The contract of the group: what gives the weights a start from the training text, by other means than steps."""

from __future__ import annotations

from collections.abc import Sequence

from pgolf.data.dataset import Dataset
from pgolf.train.trainer import Hook


class WarmStart:
    def attach(self, dataset: Dataset) -> Sequence[Hook]:
        """The hooks that do it, before the first step and on the training clock; none: weights start as arch/init
        draws them."""
        return ()
