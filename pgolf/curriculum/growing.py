"""Short windows and small batches early in the run, long and large ones later.

From the fraction ``starts[i]`` of the run on, a micro-batch is the ``batch_divisors[i]``-th part of the loader's, and
each of its windows is cut into ``window_divisors[i]``. Nothing of the stream is left out: what a small batch leaves
over is the next one's. The last stage need not be the loader's own size. Learning rates are as scheduled.
Source: modded-nanogpt (batches 8, 16, 24 by thirds of the run, sequences of 896, then 2,048 tokens); sequence length
warm-up, Li et al. 2022 (arXiv 2108.06084).
Cost in bytes: none. Cost in step time: short windows save attention, small batches all else in proportion; a graph to
compile for each shape, in each route.
Hurts: rows of little context are another distribution than evaluation's; too long a first stage shows in the score.
"""

# B windows of a micro-batch, T positions

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.protocols import Loader
from pgolf.core.ranges import Fraction, PositiveInt
from pgolf.curriculum.base import Curriculum
from pgolf.train.phases import Phase
from pgolf.train.trainer import Batch, Trainer


class CutLoader:
    """Wraps a loader; ``parts`` and ``pieces``: what a batch and a window are divided by, from now on."""

    by_rank = True  # what is left of a batch

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.parts = self.pieces = 1
        self._left: Batch | None = None
        self._rows = 0

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)``, the next rows of the loader's batches."""
        x_BT, y_BT = self._left or self._loader.next_batch()
        self._rows = self._rows or len(x_BT)
        taken = self._rows // self.parts
        while len(x_BT) < taken:
            more = self._loader.next_batch()
            x_BT, y_BT = torch.cat([x_BT, more[0]]), torch.cat([y_BT, more[1]])
        self._left = (x_BT[taken:], y_BT[taken:]) if len(x_BT) > taken else None
        return self._shaped(x_BT[:taken]), self._shaped(y_BT[:taken])

    def _shaped(self, t_BT: Tensor) -> Tensor:
        return t_BT.reshape(len(t_BT) * self.pieces, t_BT.size(1) // self.pieces)

    def state(self) -> dict[str, Any]:
        left = None if self._left is None else tuple(t_BT.clone() for t_BT in self._left)
        return {"loader": self._loader.state(), "left": left, "rows": self._rows}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._loader.restore(state["loader"])
        self._left, self._rows = state["left"], state["rows"]

    def close(self) -> None:
        self._loader.close()


class Growing(Curriculum):
    """The three lists are of one length; ``starts`` begins with 0 and rises."""

    def __init__(
        self,
        *,
        starts: Sequence[Fraction],
        window_divisors: Sequence[PositiveInt],
        batch_divisors: Sequence[PositiveInt],
    ) -> None:
        lists = {"starts": starts, "window_divisors": window_divisors, "batch_divisors": batch_divisors}
        if len({len(values) for values in lists.values()}) > 1 or not starts:
            said = ", ".join(f"{name} {list(values)}" for name, values in lists.items())
            raise ConfigError(f"curriculum: {said}; one number for each stage in all three")
        if starts[0] != 0 or starts[-1] >= 1 or any(a >= b for a, b in zip(starts, list(starts)[1:], strict=False)):
            raise ConfigError(
                f"curriculum.starts: {list(starts)}; the stages' rising fractions of the run, the first 0"
            )
        if any(divisor < 1 for divisor in (*window_divisors, *batch_divisors)):
            raise ConfigError(f"curriculum: divisors {[*window_divisors, *batch_divisors]}; whole numbers from 1 on")
        self.starts = tuple(starts)
        self.shapes = tuple(zip(batch_divisors, window_divisors, strict=True))
        self.stage = 0

    def check(self, rows: int, window: int) -> None:
        problems = [
            f"curriculum.{key}: {divisor} does not divide {what} of {whole:,} {unit}"
            for key, what, whole, unit, place in (
                ("window_divisors", "a window", window, "tokens", 1),
                ("batch_divisors", "a micro-batch", rows, "windows", 0),
            )
            for divisor in sorted({shape[place] for shape in self.shapes})
            if whole % divisor
        ]
        self._tokens = [(rows // parts, window // pieces) for parts, pieces in self.shapes]
        if problems:
            raise ConfigError(problems)

    def wrap(self, loader: Loader) -> Loader:
        self._cut = CutLoader(loader)
        self._use(0)
        return self._cut

    def _use(self, stage: int) -> None:
        self.stage = stage
        self._cut.parts, self._cut.pieces = self.shapes[stage]

    def phases(self) -> list[Phase]:
        ends = (*self.starts[1:], 1.0)
        return [
            Phase(a, b, self._said(stage), switch=stage > 0)
            for stage, (a, b) in enumerate(zip(self.starts, ends, strict=True))
        ]

    def _said(self, stage: int) -> str:
        rows, window = self._tokens[stage]
        return f"micro-batches of {rows:,} windows of {window:,} tokens"

    def after_step(self, trainer: Trainer) -> None:
        due = sum(trainer.progress >= start for start in self.starts) - 1
        if due > self.stage and trainer.stopped_by is None:
            self._use(due)
            text = f"{self._said(due)} after {trainer.step:,} steps"
            trainer.tell("switch", f"curriculum: {text}", what="curriculum", state="stage", stage=due)

    def rehearse(self, trainer: Trainer) -> None:
        now = self.stage
        for shape in sorted({*self.shapes} - {self.shapes[now]}):
            self._use(self.shapes.index(shape))
            trainer.forward_backward()
        self._use(now)

    def state(self) -> dict[str, Any]:
        return {"stage": self.stage}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._use(state["stage"])
