"""What the submission will weigh, forecast before training: in ``print_model=true`` and at the head of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgolf.artifact.header import plain_bytes
from pgolf.core.errors import OverBudget
from pgolf.core.make import make
from pgolf.core.protocols import Model
from pgolf.quant.forecast import forecast_packed
from pgolf.quant.target import COARSEST, aimed_at, factor_for

_FIXED = "the legacy floor's step is fixed, so bytes follow the size of the weights"


@dataclass(frozen=True, slots=True)
class Forecast:
    """All sizes in bytes: of the tensors by name (estimates; corrections by their role), of code and tokenizer (exact),
    of packed counts (as many as were asked for).

    ``bytes_tokenizer`` is None where there is no tokenizer yet. Where the quantizer fits its k to ``target_bytes``,
    ``k_factor`` is what every k is multiplied with. ``follows_law``: see ``pgolf.core.protocols.Quantizer``.
    """

    bytes_by_name: Mapping[str, float]
    bytes_code: int
    bytes_tokenizer: int | None
    cap_bytes: int
    counts_tokenizer: bool
    target_bytes: int | None = None
    k_factor: float | None = None
    follows_law: bool = True
    bytes_packed: int = 0

    @property
    def bytes_weights(self) -> int:
        return round(sum(self.bytes_by_name.values()))

    @property
    def bytes_total(self) -> int:
        """What is held against the cap: weights + packed counts + code (+ tokenizer where the budget counts it)."""
        tokenizer = (self.bytes_tokenizer or 0) * self.counts_tokenizer
        return self.bytes_weights + self.bytes_packed + self.bytes_code + tokenizer

    @property
    def over_by(self) -> int:
        """Nothing where k is fitted: the size is met, or ``refuse_unreachable`` says that it cannot be."""
        return max(0, self.bytes_total - self.cap_bytes) if self.k_factor is None else 0

    def __str__(self) -> str:
        packed = f" + packed counts {self.bytes_packed:,}" if self.bytes_packed else ""
        parts = f"weights {self.bytes_weights:,}{packed} + code {self.bytes_code:,}"
        if self.counts_tokenizer:
            known = self.bytes_tokenizer is not None
            parts += f" + tokenizer {self.bytes_tokenizer:,}" if known else ", without the tokenizer"
        text = f"{self.bytes_total:,} of {self.cap_bytes:,} bytes: {parts}"
        if self.k_factor is not None:
            text += f", with every k times {self.k_factor:.3g}"
        if self.over_by:
            text += f"; {self.over_by:,} over the cap"
        return text if self.follows_law else f"{text}; within about 5 % after a full training: {_FIXED}"

    def against(self, bytes_total: int) -> str:
        """One line on how near it came to ``bytes_total``."""
        share = 100 * (self.bytes_total / bytes_total - 1)
        where = "" if self.k_factor is None else f" at k times {self.k_factor:.3g}"
        return f"{self.bytes_total:,} bytes{where}, {share:+.1f} % of the {bytes_total:,} it became"


def forecast(
    cfg: Mapping[str, Any],
    model: Model,
    bytes_code: int,
    tokenizer_blob: bytes | None,
    k_factor: float | None = None,
) -> Forecast:
    """For the run that ``cfg`` describes, whose script has ``bytes_code``; no ``tokenizer_blob``: none is there yet.

    ``k_factor``: what the quantizer took to meet its target; None: what it is expected to take.
    """
    quantizer, compressor = make(cfg["quant"]), make(cfg["compressor"])
    budget = cfg["budget"]
    tokenizer = None
    if tokenizer_blob is not None:
        packed = compressor.encode(tokenizer_blob, plain_bytes(len(tokenizer_blob)))
        tokenizer = min(len(packed), len(tokenizer_blob))
    specs, shapes = model.param_specs(), {name: tuple(p.shape) for name, p in model.named_parameters()}

    def tensors(factor: float) -> dict[str, float]:
        return forecast_packed(quantizer.times(factor), compressor, specs, shapes)

    target, counts = quantizer.target_bytes, cfg["ngram"].get("packed_bytes", 0)
    if target is not None and k_factor is None:
        fixed = bytes_code + counts + (tokenizer or 0) * budget["count_tokenizer"]
        k_factor = factor_for(quantizer, lambda factor: sum(tensors(factor).values()), aimed_at(target) - fixed)
    return Forecast(
        bytes_by_name=forecast_packed(quantizer, compressor, specs, shapes) if k_factor is None else tensors(k_factor),
        bytes_code=bytes_code,
        bytes_tokenizer=tokenizer,
        cap_bytes=budget["cap_bytes"],
        counts_tokenizer=budget["count_tokenizer"],
        target_bytes=target,
        k_factor=k_factor,
        follows_law=quantizer.follows_law,
        bytes_packed=counts,
    )


def refuse_unreachable(expected: Forecast) -> None:
    """Raise OverBudget where not even the coarsest grid is expected to meet the quantizer's target.

    Called before training: afterwards the same error would cost the run.
    """
    target, total = expected.target_bytes, expected.bytes_total
    if target is not None and expected.k_factor == COARSEST and total > target:
        raise OverBudget(
            f"quant.target_bytes: about {total:,} bytes even with every k times {COARSEST:g}, more than the "
            f"{target:,} asked for (code alone {expected.bytes_code:,}); nothing was trained"
        )
