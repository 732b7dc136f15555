"""Small models and configs shared by tests."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import torch

from pgolf.config.compose import compose, settings
from pgolf.core.make import make

VOCAB, BOS = 97, 1
# A whole run in seconds.
SMOKE = (
    "size=tiny",
    "data=tiny",
    "tokenizer=bytes",
    "budget=smoke",
    "budget.subset_tokens=2048",
    "logger=[jsonl]",
    "compressor=zlib",  # the default one's kernels take six seconds to compile, anew for each script;
    "ngram=none",
    "mixer=none",  # so do these
)


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
    """Leave the step-0 trap: move every parameter that is all zero, so that gradients flow everywhere.

    Matrices, and the gates, strengths and taps that start a technique as nothing. What a parameter gets depends on
    its name and the seed alone, so that two models get the same where they have the same.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.any():
                generator = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
                parameter.normal_(0.0, std, generator=generator)


def ids(batch: int = 2, time: int = 24, seed: int = 0, vocab_size: int = VOCAB) -> torch.Tensor:
    """Random tokens, with a document beginning (BOS) in each half of every row and in the middle of odd rows."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, vocab_size, (batch, time), generator=generator)
    tokens[:, [time // 4, 3 * time // 4]] = BOS
    tokens[1::2, time // 2] = BOS
    return tokens
