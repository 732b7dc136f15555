"""The one visible training loop (style 15): next batch, forward-backward, step, hooks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from pgolf.core.errors import TrainingError
from pgolf.core.protocols import Loader, Model
from pgolf.core.results import TrainResult
from pgolf.train.clock import TrainClock
from pgolf.train.phases import Phase


class Optimizes(Protocol):
    def step(self, lr_scale: float, progress: float) -> None: ...
    def zero_grad(self) -> None: ...
    def phases(self) -> list[Phase]: ...
    def state_dict(self) -> dict: ...
    def load_state_dict(self, state: dict) -> None: ...


class Schedules(Protocol):
    def scale(self, progress: float) -> float: ...
    def phases(self) -> list[Phase]: ...


class Hook:
    """Base of all hooks; every moment does nothing until overridden."""

    def phases(self) -> list[Phase]:
        return []

    def at_start(self, trainer: Trainer) -> None: ...

    def after_step(self, trainer: Trainer) -> None: ...

    def after_switch(self, trainer: Trainer, copied: Mapping[str, str]) -> None:
        """Another route is active. ``copied``: weights that started now, with those they are copies of."""

    def at_end(self, trainer: Trainer) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train and how a step is cut.

    Schedules run on seconds, or on steps once ``steps`` is fixed, so that such a run repeats to the bit.
    """

    seconds: float
    steps: int | None
    accumulation: int
    grad_clip: float | None
    autocast: torch.dtype | None


@dataclass(slots=True)
class Runtime:
    """The objects a trainer works with besides the model."""

    optimizer: Optimizes
    schedule: Schedules
    loader: Loader
    hooks: Sequence[Hook]
    clock: TrainClock


# A copy of the weights is kept this often, so that a run that diverges still leaves a usable state.
SNAPSHOT_STEPS = 50


class Trainer:
    """State that hooks may read: ``model, plan, clock, step, tokens, loss_nats, lr_scale, progress``."""

    def __init__(
        self,
        model: Model,
        plan: Plan,
        runtime: Runtime,
        loss: Callable[[Tensor, Tensor], Tensor],
        average: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.model, self.plan, self.loss = model, plan, loss
        self.optimizer, self.schedule, self.loader = runtime.optimizer, runtime.schedule, runtime.loader
        self.hooks, self.clock = list(runtime.hooks), runtime.clock
        self.device = next(model.parameters()).device
        self.step, self.tokens, self.loss_nats, self.lr_scale = 0, 0, math.nan, 1.0
        self.stopped_by: str | None = None
        self.average = average or (lambda: self.model.state_dict())
        self.good_state: dict[str, Tensor] = {}
        self.good_step = 0
        self.good_route: str | None = None

    @property
    def progress(self) -> float:
        """Fraction of the run done, in [0, 1]."""
        done = self.step / self.plan.steps if self.plan.steps else self.clock.elapsed / self.plan.seconds
        return min(1.0, done)

    def stop(self, reason: str) -> None:
        """End the run after this step."""
        self.stopped_by = self.stopped_by or reason

    def fit(self) -> TrainResult:
        """Train until something calls ``stop``. Raises TrainingError when the loss is not finite."""
        for hook in self.hooks:
            hook.at_start(self)
        self._keep_good()
        self.clock.start()
        while self.stopped_by is None:
            progress = self.progress
            self.lr_scale = self.schedule.scale(progress)
            self.loss_nats = self.forward_backward()
            if not math.isfinite(self.loss_nats):
                raise TrainingError(
                    f"train: the loss became {self.loss_nats} at step {self.step + 1}; the weights of step {self.good_step} are kept. A smaller learning rate or train.grad_clip may help"
                )
            self.optimizer.step(self.lr_scale, progress)
            self.step += 1
            if self.plan.steps and self.step >= self.plan.steps:
                self.stop("steps")
            for hook in self.hooks:
                hook.after_step(self)
            if self.step % SNAPSHOT_STEPS == 0:
                self._keep_good()
        seconds = self.clock.elapsed
        for hook in self.hooks:
            hook.at_end(self)
        return TrainResult(self.snapshot(), seconds, self.step, self.tokens, self.stopped_by)

    def forward_backward(self) -> float:
        """Gradients of one optimizer step's batch, clipped; returns its mean loss in nats per token."""
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        for _ in range(self.plan.accumulation):
            x_BT, y_BT = (t.to(self.device, non_blocking=True) for t in self.loader.next_batch())
            with torch.autocast(self.device.type, self.plan.autocast, enabled=self.plan.autocast is not None):
                loss = self.loss(x_BT, y_BT) / self.plan.accumulation
            loss.backward()
            total += loss.detach()
            self.tokens += y_BT.numel()
        if self.plan.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.grad_clip)
        return total.item()

    def _keep_good(self) -> None:
        """Remember this step's weights and the route they run in, unless a number in them is not finite."""
        state = self.snapshot()
        if all(bool(torch.isfinite(value).all()) for value in state.values()):
            self.good_state, self.good_step = state, self.step
            self.good_route = self.model.active

    def snapshot(self) -> dict[str, Tensor]:
        """A copy on the CPU of the weights that would be exported now (averaged where a hook averages)."""
        return {
            name: value.detach().to("cpu", torch.float32, copy=True) for name, value in self.average().items()
        }

    def phases(self) -> list[Phase]:
        """Everything that will change during the run, by start."""
        found = [
            *self.schedule.phases(),
            *self.optimizer.phases(),
            *(p for hook in self.hooks for p in hook.phases()),
        ]
        return sorted(found, key=lambda phase: (phase.start, phase.end))
