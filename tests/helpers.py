"""Small models and configs shared by tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from pgolf.config.compose import compose, settings
from pgolf.config.make import make

VOCAB, BOS = 97, 1


@cache
def _tiny(words: tuple[str, ...]) -> dict[str, Any]:
    return settings(compose(["size=tiny", *words]))


def tiny_settings(*words: str) -> dict[str, Any]:
    """The composed settings at ``size=tiny`` with further command-line words."""
    return _tiny(words)


def tiny_model(*words: str, seed: int = 0, vocab_size: int = VOCAB) -> Any:
    """A model at ``size=tiny``, built as train.py builds it."""
    torch.manual_seed(seed)
    return make(tiny_settings(*words)["arch"], vocab_size=vocab_size, bos_id=BOS)


def randomise(model: torch.nn.Module, seed: int = 0, std: float = 0.1) -> None:
    """Leave the step-0 trap: give every zero matrix random entries, so that gradients flow everywhere."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and not parameter.any():
                parameter.normal_(0.0, std, generator=generator)


def ids(batch: int = 2, time: int = 24, seed: int = 0, vocab_size: int = VOCAB) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, vocab_size, (batch, time), generator=generator)
