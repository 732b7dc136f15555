"""What calibration measures, and what every source of calibration text answers (spec quant §3.1, §3.6).

Shapes: B batch, T time, C columns (inputs) of a linear map.

A source gets a model and, for training text, a function that yields it. It never sees a data set, so none can be
written that reads dev or validation: ``pgolf.quant.calibration.measure`` hands out batches of the training loader and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pgolf.core.protocols import Model

# The next training ids int64 [B, T] on the model's device, or None once the time for calibration is used up.
Batches = Callable[[], Tensor | None]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Second moments of inputs, on the model's device.

    ``hessians``: by parameter name ``Σ x xᵀ`` (float32 [C, C]) over all tokens and applications of ``y = W x``.
    Parameters that read the same inputs (queries, keys, values) share one tensor: ``hessians[a] is hessians[b]``.
    ``lookups``: parameters that were used as look-up tables; one in ``hessians`` too is used both ways. A
    parameter in neither was not used, as the MLPs of repeats that were never switched on.
    ``tokens`` and ``seconds`` are what it took, ``source`` says where the text came from, ``cut_short`` whether time
    was up before all of it was read.
    """

    hessians: Mapping[str, Tensor]
    tokens: int
    seconds: float
    source: str
    lookups: frozenset[str] = frozenset()
    cut_short: bool = False


class CalibrationSource(Protocol):
    """``reserve_seconds`` are taken off the training budget: 0 where no training text is read."""

    source: str
    reserve_seconds: float

    def check(self, model: Model) -> None:
        """Raise ConfigError where this source cannot work with this model (which may lie on the meta device)."""
        ...

    def collect(self, model: Model, batches: Batches) -> Calibration:
        """Measure ``model``: fp32, in eval mode, the route of the evaluation active. Its weights stay."""
        ...
