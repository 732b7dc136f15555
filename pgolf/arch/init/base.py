"""The contract of arch/init's options: they give a model that has just been built the weights it starts from."""

from __future__ import annotations

from typing import Protocol

from pgolf.arch.unet import UNet


class Initialiser(Protocol):
    def apply(self, model: UNet) -> None:
        """Initialise ``model`` in place, from torch's generator. Raises ConfigError for a model it does not fit."""
        ...
