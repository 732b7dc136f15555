"""Hit a size in bytes with one factor on every k of the scale (spec quant §4, §7.7).

Bytes fall as k grows. Entropy after rounding to nearest is quick, and the packed size is nearly a line in it
(code, tokenizer and header are constant, a coder wins or loses a share); so the search runs on entropies, its result
is quantized and packed in earnest, and the line through the last two sizes says which entropy to look for next.
What is returned was packed, not estimated, and fits.

Source: spec quant §7.7. PR #1019 instead zeroes single codes after GPTQ until the file fits, which takes apart what
GPTQ had balanced; one factor on k leaves every matrix its share of the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from pgolf.core.errors import OverBudget
from pgolf.core.protocols import Quantizer
from pgolf.core.results import ParamSpec, QuantizedState

Packed = TypeVar("Packed")

COARSEST = 64.0  # times the k that was composed: hardly a weight would be left
FINEST_K = 4.5  # below it rows lose their largest weights, and more bytes buy no less error
CLOSE = 3e-4  # of the target: near enough to stop; compressors that are not entropy coders jump as far
_MOST_PACKED = 8


@dataclass(frozen=True, slots=True)
class Weighed(Generic[Packed]):
    """``packed`` is what the caller made; ``bytes_total`` is held against the target; ``ledger`` explains it."""

    packed: Packed
    bytes_total: int
    ledger: str


@dataclass(frozen=True, slots=True)
class Hit(Generic[Packed]):
    """A result that fits, its factor on k, and how many results were packed to find it."""

    factor: float
    weighed: Weighed[Packed]
    packed_times: int


class Targets(Quantizer, Protocol):
    """A quantizer that can be fitted to a size; RTN and GPTQ can."""

    @property
    def smallest_k(self) -> float: ...

    def times(self, factor: float) -> Targets: ...

    def estimate_bytes(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: Any = None,
    ) -> float:
        """Bytes of what ``quantize`` would make, by entropy."""
        ...


def quantize_to_target(
    quantizer: Targets,
    state: Mapping[str, Tensor],
    specs: Mapping[str, ParamSpec],
    aliases: Mapping[str, str] | None,
    calibration: Any,
    pack: Callable[[QuantizedState], Weighed[Packed]],
) -> Hit[Packed]:
    """Quantize ``state`` so that what ``pack`` makes of it has ``quantizer.target_bytes`` bytes, or just fewer."""
    assert quantizer.target_bytes is not None

    @cache
    def estimate(factor: float) -> float:
        return quantizer.times(factor).estimate_bytes(state, specs, aliases, calibration)

    def pack_at(factor: float) -> Weighed[Packed]:
        return pack(quantizer.times(factor).quantize(state, specs, aliases, calibration))

    return hit_target(quantizer.target_bytes, estimate, pack_at, finest=_finest(quantizer))


def factor_for(quantizer: Targets, estimate: Callable[[float], float], wanted: float) -> float:
    """The factor on k at which ``estimate(factor)`` is ``wanted`` bytes, or the nearest that would be tried."""
    return _where(estimate, wanted, _finest(quantizer), COARSEST)


def aimed_at(target_bytes: int) -> float:
    """Bytes in the middle of what is near enough."""
    return target_bytes * (1 - CLOSE / 2)


def _finest(quantizer: Targets) -> float:
    return min(1.0, FINEST_K / quantizer.smallest_k)


def hit_target(
    target_bytes: int,
    estimate: Callable[[float], float],
    pack: Callable[[float], Weighed[Packed]],
    *,
    finest: float,
) -> Hit[Packed]:
    """The largest result found of at most ``target_bytes`` bytes, stopping within ``CLOSE`` of them.

    ``estimate(factor)`` falls with the factor; ``pack(factor)`` is what counts. Factors run from ``finest``, where
    a result may be smaller than asked for, to COARSEST. Raises OverBudget, with the ledger, if that does not fit.
    """
    over, fits = finest, COARSEST  # the factor sought lies between; neither end need have been packed
    best: Hit[Packed] | None = None
    aim = aimed_at(target_bytes)
    packed: list[tuple[float, int]] = []  # (estimate, bytes)
    tried: set[float] = set()
    for packed_times in range(1, _MOST_PACKED + 1):
        factor = _where(estimate, _entropy_for(aim, packed), over, fits)
        if best is None and packed_times == _MOST_PACKED // 2:
            factor = COARSEST  # the estimates mislead
        elif factor in tried:
            factor = math.sqrt(over * fits)
        tried.add(factor)
        weighed = pack(factor)
        packed.append((estimate(factor), weighed.bytes_total))
        if weighed.bytes_total > target_bytes:
            if factor >= COARSEST:
                raise OverBudget(_too_large(weighed, target_bytes))
            over = factor
            continue
        fits = factor
        if best is None or weighed.bytes_total >= best.weighed.bytes_total:
            best = Hit(factor, weighed, packed_times)
        if factor == finest or weighed.bytes_total >= target_bytes * (1 - CLOSE):
            break
    assert best is not None, "the coarsest grid was tried"
    return best


def _entropy_for(size: float, packed: Sequence[tuple[float, int]]) -> float:
    """The estimate at which ``size`` is to be expected, by the line through the last two (estimate, bytes)."""
    if not packed:
        return size
    (entropy, found), slope = packed[-1], 1.0
    if len(packed) > 1 and packed[-2][0] != entropy:
        slope = (packed[-2][1] - found) / (packed[-2][0] - entropy)
    return entropy + (size - found) / min(max(slope, 0.8), 1.25)


def _too_large(weighed: Weighed[Any], target_bytes: int) -> str:
    return (
        f"quant.target_bytes: {weighed.bytes_total:,} bytes with every k times {COARSEST:g}, "
        f"{weighed.bytes_total - target_bytes:,} over the {target_bytes:,} asked for. {weighed.ledger}"
    )


def _where(estimate: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """The factor in ``low..high`` with the estimate ``wanted``, or the nearer end.

    Regula falsi (Illinois) on log factor, in which bytes are nearly a line; every step keeps a bracket.
    """
    a, b = math.log(low), math.log(high)
    above, below = estimate(low) - wanted, estimate(high) - wanted
    if above <= 0:
        return low
    if below >= 0:
        return high
    for _ in range(60):
        middle = (a * below - b * above) / (below - above)
        value = estimate(math.exp(middle)) - wanted
        if abs(value) <= 1e-5 * wanted or b - a < 1e-9:
            break
        if value > 0:
            a, above, below = middle, value, below / 2
        else:
            b, below, above = middle, value, above / 2
    return math.exp(middle)
