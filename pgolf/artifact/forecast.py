"""What the submission will weigh, foretold before training: in ``print_model=true`` and at the head of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pgolf.arch.unet import UNet
from pgolf.artifact.bundle import make_bundle
from pgolf.artifact.header import plain_bytes
from pgolf.config.make import make
from pgolf.core.errors import OverBudget
from pgolf.quant.forecast import forecast_model
from pgolf.quant.target import COARSEST


@dataclass(frozen=True, slots=True)
class Forecast:
    """All sizes in bytes. ``bytes_weights`` is an estimate, code and tokenizer are exact.

    ``bytes_tokenizer`` is None where there is no tokenizer yet. ``target_bytes`` is what the quantizer fits the
    total to; ``bytes_weights`` is then what it would take at k as composed.
    """

    bytes_weights: int
    bytes_code: int
    bytes_tokenizer: int | None
    cap_bytes: int
    counts_tokenizer: bool
    target_bytes: int | None

    @property
    def bytes_total(self) -> int:
        """What is held against the cap: weights + code (+ tokenizer where the budget counts it)."""
        return self.bytes_weights + self.bytes_code + (self.bytes_tokenizer or 0) * self.counts_tokenizer

    @property
    def over_by(self) -> int:
        return max(0, self.bytes_total - self.cap_bytes) if self.target_bytes is None else 0

    def __str__(self) -> str:
        parts = f"weights {self.bytes_weights:,} + code {self.bytes_code:,}"
        if self.counts_tokenizer:
            known = self.bytes_tokenizer is not None
            parts += f" + tokenizer {self.bytes_tokenizer:,}" if known else ", without the tokenizer"
        text = f"{self.bytes_total:,} of {self.cap_bytes:,} bytes: {parts}"
        if self.target_bytes is not None:
            return f"{text}, before k is fitted to quant.target_bytes = {self.target_bytes:,}"
        return f"{text}; {self.over_by:,} over the cap" if self.over_by else text


def refuse_unreachable(cfg: Mapping[str, Any], model: UNet, expected: Forecast) -> None:
    """Raise OverBudget where the quantizer's target cannot be met even on the coarsest grid it will try.

    Called before training: afterwards the same error would cost the run.
    """
    if expected.target_bytes is None:
        return
    coarsest = make(cfg["quant"]).times(COARSEST)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    weights = round(sum(forecast_model(coarsest, model.param_specs(), shapes).values()))
    least = replace(expected, bytes_weights=weights, target_bytes=None)
    if least.bytes_total > expected.target_bytes:
        raise OverBudget(
            f"quant.target_bytes: about {least.bytes_total:,} bytes even with every k times {COARSEST:g}, more than "
            f"the {expected.target_bytes:,} asked for (code alone {expected.bytes_code:,}); nothing was trained"
        )


def forecast(cfg: Mapping[str, Any], bytes_weights: int, tokenizer_blob: bytes | None) -> Forecast:
    """For the run ``cfg`` describes, whose tensors will take ``bytes_weights``; None: no tokenizer yet."""
    tokenizer_bytes = None
    if tokenizer_blob is not None:
        packed = make(cfg["compressor"]).encode(tokenizer_blob, plain_bytes(len(tokenizer_blob)))
        tokenizer_bytes = min(len(packed), len(tokenizer_blob))
    return Forecast(
        bytes_weights=bytes_weights,
        bytes_code=len(make_bundle(cfg).script),
        bytes_tokenizer=tokenizer_bytes,
        cap_bytes=cfg["budget"]["cap_bytes"],
        counts_tokenizer=cfg["budget"]["count_tokenizer"],
        target_bytes=getattr(make(cfg["quant"]), "target_bytes", None),
    )
