"""Measure the inputs of a model's linear maps before it is quantized: after training, and for finished runs.

Only batches of the training loader can reach a source: this module opens that loader and nothing else of a data
set. It is opened anew, so what is drawn depends on the run's seed alone, not on where training stood.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pgolf.core.protocols import Loader, Model
from pgolf.quant.calibration.base import Calibration, CalibrationSource


def stage_of(source: CalibrationSource) -> str:
    """The ledger's stage: ``calibrate`` is charged to training, as it reads training text; the other is not."""
    return "calibrate" if source.reserve_seconds else "calibrate without text"


def calibrate(
    model: Model,
    weights: Mapping[str, Tensor],
    source: CalibrationSource,
    open_loader: Callable[[], Loader],
    seconds_left: float | None,
) -> Calibration:
    """Run ``source`` on a copy of ``model`` with ``weights``: fp32, eval mode, the route of ``model``.

    ``open_loader`` makes a fresh training loader; it is called only by sources that read text. These get one batch
    in any case and more until ``seconds_left`` (None: no limit) would not suffice for another.
    """
    twin = copy.deepcopy(model)
    twin.load_state_dict(dict(weights))
    twin.eval().requires_grad_(False)
    batches = TrainingBatches(open_loader, next(twin.parameters()).device, seconds_left)
    try:
        return source.collect(twin, batches)
    finally:
        batches.close()


class TrainingBatches:
    """Called for the next training ids; None once the longest batch so far would no longer fit the time left."""

    def __init__(self, open_loader: Callable[[], Loader], device: torch.device, seconds_left: float | None) -> None:
        self.open_loader, self.device, self.seconds_left = open_loader, device, seconds_left
        self._loader: Loader | None = None
        self._began = self._last = time.perf_counter()
        self._longest = 0.0

    def __call__(self) -> Tensor | None:
        now = self._now()
        if self._loader is None:
            self._loader = self.open_loader()
        else:
            self._longest = max(self._longest, now - self._last)
            limit = self.seconds_left
            if limit is not None and now - self._began + self._longest > limit:
                return None
        self._last = now
        return self._loader.next_batch()[0].to(self.device)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def close(self) -> None:
        """Stop the loader's thread, where it has one."""
        if self._loader is not None:
            self._loader.close()
