"""The contract of the group: a hook that stands between the loader and the trainer."""

from __future__ import annotations

from typing import ClassVar

from pgolf.core.protocols import Loader
from pgolf.train.trainer import Hook


class Curriculum(Hook):
    """``neutral``: batches stay as the loader makes them."""

    neutral: ClassVar[bool] = False

    def check(self, rows: int, window: int) -> None:
        """Micro-batches have ``rows`` windows of ``window`` tokens. Raises ConfigError where these cannot be cut."""

    def wrap(self, loader: Loader) -> Loader:
        """The loader that the trainer draws from."""
        return loader
