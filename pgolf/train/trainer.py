"""The one visible training loop (style 15): next batch, forward-backward, step, hooks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from pgolf.core.errors import TrainingError
from pgolf.core.events import Event, Listener
from pgolf.core.protocols import Loader, Model
from pgolf.core.results import Score, TrainResult
from pgolf.core.threads import CoreShare
from pgolf.train.clock import TrainClock
from pgolf.train.moment import Moment, RunLength
from pgolf.train.phases import Phase
from pgolf.train.replicas import ALONE, Replicas
from pgolf.train.state import Weights, random_state, restore_random_state

Batch = tuple[Tensor, Tensor]  # (x_BT, y_BT)
ScoreDev = Callable[[Mapping[str, Tensor], int], Score]  # (float weights by name, tokens of dev)


class Optimizes(Protocol):
    @property
    def shards_state(self) -> bool: ...
    @property
    def own_gradients(self) -> frozenset[str]: ...
    def average(
        self, replicas: Replicas, parameters: Sequence[nn.Parameter], also: Sequence[Tensor], clip: float | None
    ) -> None: ...
    def step(self, lr_scale: float, progress: float) -> None: ...
    def zero_grad(self) -> None: ...
    def phases(self) -> list[Phase]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...


class Schedules(Protocol):
    length: RunLength

    def scale(self, moment: Moment) -> float: ...
    def foreseen(self, progress: float) -> float | None: ...
    def phases(self) -> list[Phase]: ...


class Hook:
    """Base of all hooks; every moment does nothing until overridden.

    ``reserve``: the fraction of the run that is kept for ``after_steps``. ``of_update``: its ``after_step`` belongs to
    every update of the weights, those in ``after_steps`` too. ``by_rank``: each of several replicas remembers something
    else.
    """

    reserve: float = 0.0
    of_update: ClassVar[bool] = False
    by_rank: ClassVar[bool] = False

    def prepare(self, schedule: Schedules) -> None:
        """Told of the run's schedule before anything else. Raises ConfigError where the hook would never act."""

    def phases(self) -> list[Phase]:
        return []

    def at_start(self, trainer: Trainer) -> None: ...

    def compile_model_part(self, compiler: Callable[[Any], Any]) -> None:
        """As ``pgolf.qat.base.Loss`` does, where the hook has a model's part of its own."""

    def rehearse(self, trainer: Trainer) -> None:
        """Take the steps of the run that have a graph of their own, once, for the compile warm-up."""

    def before_steps(self, trainer: Trainer) -> None:
        """The state is complete and the clock has not started. What is trained here has a clock of its own, and
        tells ``seconds_before``."""

    def after_step(self, trainer: Trainer) -> None: ...

    def after_steps(self, trainer: Trainer) -> None:
        """The last step is done; the clock runs on, and ``Plan.after`` is there to be used."""

    def at_rest(self, trainer: Trainer) -> None:
        """Every hook has had this step and the next has not begun: what ``state()`` holds now, a run goes on from.

        It begins here, so that what a run was stopped in, or before, at this moment comes to its end.
        """

    def after_switch(self, trainer: Trainer, copied: Mapping[str, str]) -> None:
        """Another route is active. ``copied``: weights that started now, with those they are copies of."""

    def at_end(self, trainer: Trainer) -> None: ...

    def at_result(self, trainer: Trainer, result: TrainResult) -> None:
        """Every hook has had the end; ``result`` is what training leaves."""

    def at_break(self, trainer: Trainer, error: BaseException) -> None:
        """Training broke off: an error, Ctrl-C, a signal. The weights may be between two steps: ``trainer.resting``
        says whether they, the optimizer and the hooks are as they were at the last rest."""

    def state(self) -> dict[str, Any]:
        """What this hook must remember to go on from here; copies, and tensors where they lie.

        Made of dicts with text as keys, lists, tuples, texts, numbers, None and tensors alone: a checkpoint holds it.
        """
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``. The compile warm-up does so too, before ``at_start``, with what it found."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train and how a step is cut: ``accumulation`` micro-steps of each replica.

    Schedules run on seconds, or on steps once ``steps`` is fixed, so that such a run repeats to the bit. ``before``
    and ``after``: of the same, seconds or steps, what ``Hook.before_steps`` and ``Hook.after_steps`` have.
    """

    seconds: float
    steps: int | None
    accumulation: int
    grad_clip: float | None
    autocast: torch.dtype | None
    before: float = 0.0
    after: float = 0.0


@dataclass(slots=True)
class Runtime:
    """The objects a trainer works with besides the model.

    ``score_dev(weights, tokens)`` scores float weights on a sample of dev, for hooks. ``listeners`` hear what the
    trainer and its hooks tell. ``folder`` is the run's, None where it has none; hooks may write there. ``account``:
    what the run would go on from beside the trainer's state, at this moment. ``replicas`` train the same model beside
    this process. ``beside``: what is trained with the model and not exported.
    """

    optimizer: Optimizes
    schedule: Schedules
    loader: Loader
    hooks: Sequence[Hook]
    clock: TrainClock
    score_dev: ScoreDev
    listeners: Sequence[Listener] = ()
    folder: Path | None = None
    account: Callable[[], Mapping[str, Any]] = dict
    replicas: Replicas = ALONE
    beside: nn.Module | None = None


# A copy of the weights is kept this often, so that a run that diverges still leaves a usable state.
SNAPSHOT_STEPS = 50


class Trainer:
    """State that hooks may read: ``model, plan, clock, elapsed, step, tokens, loss_nats, lr_scale, moment, progress,
    folder, replicas``. ``elapsed``: seconds at the step's beginning, and once it is taken at its end, rank 0's;
    ``tokens`` are those of all replicas.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        runtime: Runtime,
        loss: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        self.model, self.plan, self.loss = model, plan, loss
        self.optimizer, self.schedule, self.loader = runtime.optimizer, runtime.schedule, runtime.loader
        self.hooks, self.clock = list(runtime.hooks), runtime.clock
        self.score_dev, self.listeners, self.folder = (
            runtime.score_dev,
            list(runtime.listeners),
            runtime.folder,
        )
        self.replicas = runtime.replicas
        self.account = runtime.account
        self.beside = runtime.beside or nn.ModuleDict()
        self.parameters = [*model.parameters(), *self.beside.parameters()]
        self.device = self.parameters[0].device
        self.elapsed = 0.0
        self.step, self.tokens, self.loss_nats, self.lr_scale = 0, 0, math.nan, 1.0
        self.exported = ""  # in words, which weights
        self.seconds_before = 0.0  # of the budget, spent before the first step
        self.batches: list[Batch] = []  # of the last step
        self.stopped_by: str | None = None
        self.resting = True  # weights, optimizer and hooks are as at the last rest
        self.whole_update: Callable[[], AbstractContextManager[None]] = nullcontext  # around what makes others of them
        self.average: Callable[[], Mapping[str, Tensor]] = self.model.state_dict
        self.core_share = CoreShare()
        self.good: Weights | None = None  # the last weights known to be finite

    @property
    def moment(self) -> Moment:
        """How far the run is."""
        done = self.step / self.plan.steps if self.plan.steps else self.elapsed / self.plan.seconds
        return Moment(min(1.0, done), self.step, self.elapsed)

    @property
    def progress(self) -> float:
        """Fraction of the run done, in [0, 1]."""
        return self.moment.progress

    def stop(self, reason: str) -> None:
        """End the run after this step."""
        self.stopped_by = self.stopped_by or reason

    def tell(self, name: str, text: str = "", *, series: bool = False, **facts: Any) -> None:
        """Tell every listener of an event at this step; see ``pgolf.core.events``."""
        event = Event(name, self.step, facts, text, series)
        for listener in self.listeners:
            listener.hear(event)

    def fit(self, resume: Mapping[str, Any] | None = None) -> TrainResult:
        """Train until something calls ``stop``, from ``resume``, a ``state()``, where one is given.

        Raises TrainingError when the loss is not finite.
        """
        self.core_share = CoreShare()  # compiling is none of it
        for hook in self.hooks:
            hook.at_start(self)
        if resume is not None:
            self.restore(resume)
        self._keep_good()
        try:
            for hook in self.hooks:
                hook.before_steps(self)
            self.clock.start()
            if resume is not None:
                self.rest()
            while self.stopped_by is None:
                self._step()
                self.rest()
            self.resting = False  # between updates after the steps is no place to go on from
            for hook in self.hooks:
                hook.after_steps(self)
        except BaseException as error:
            for hook in self.hooks:
                hook.at_break(self, error)
            raise
        seconds = self.clock.elapsed + self.seconds_before
        for hook in self.hooks:
            hook.at_end(self)
        state = self.weights().state
        result = TrainResult(
            state, seconds, self.step, self.tokens, self.stopped_by, self.seconds_before, self.exported
        )
        for hook in self.hooks:
            hook.at_result(self, result)
        return result

    def _step(self) -> None:
        self.elapsed = self.replicas.first(self.clock.elapsed)
        moment = self.moment
        self.lr_scale = self.schedule.scale(moment)
        self._find_gradients()
        with self.whole_update():
            self.resting = False
            self._apply(self.lr_scale, moment.progress)
            if self.plan.steps and self.step >= self.plan.steps:
                self.stop("steps")
            self.elapsed = self.replicas.first(self.clock.elapsed)
            for hook in self.hooks:
                hook.after_step(self)
            self.clock.lap("hooks")
            self._tell_step()
            if self.step % SNAPSHOT_STEPS == 0:
                self._keep_good()
            self.clock.lap("rest")
            self.resting = True

    def rest(self) -> None:
        """What goes before a step, or before the end, has passed all hooks, on all replicas."""
        for hook in self.hooks:
            hook.at_rest(self)
        if self.replicas.largest(self.stopped_by is not None):
            self.stop("another rank")
        self.clock.lap("hooks")

    def update(self, lr_scale: float, progress: float, batches: Sequence[Batch]) -> None:
        """One more step of the optimizer, on ``batches``, after the run's own. Raises TrainingError, see ``fit``."""
        self._find_gradients(batches)
        self._apply(lr_scale, progress)

    def _find_gradients(self, batches: Sequence[Batch] | None = None) -> None:
        """Of ``batches``, or of the loader's next."""
        self.loss_nats = self.forward_backward(batches)
        if not math.isfinite(self.loss_nats):
            kept = self.good.step if self.good else 0
            raise TrainingError(
                f"train: the loss became {self.loss_nats} at step {self.step + 1}; the weights of step {kept} "
                "are kept. A smaller learning rate or train.grad_clip may help"
            )

    def _apply(self, lr_scale: float, progress: float) -> None:
        self.optimizer.step(lr_scale, progress)
        self.clock.lap("optimizer")
        self.step += 1

    def _tell_step(self) -> None:
        seconds = self.clock.elapsed
        self.tell(
            "step",
            series=True,
            train_loss=self.loss_nats,
            lr_scale=self.lr_scale,
            tokens=self.tokens,
            tokens_per_second=self.tokens / seconds if seconds else 0.0,
            train_seconds=seconds,
        )

    def forward_backward(self, batches: Sequence[Batch] | None = None) -> float:
        """Gradients of one optimizer step's batch, clipped; returns its mean loss in nats per token."""
        with self.core_share.counting():
            loss = self._accumulate(batches)
        return self._reduce(loss)

    def _accumulate(self, batches: Sequence[Batch] | None) -> Tensor:
        """Gradients of this replica's part of the batch, and its mean loss."""
        self.optimizer.zero_grad()
        self.batches = []
        total = torch.zeros((), device=self.device)
        micro_steps = self.plan.accumulation if batches is None else len(batches)
        for micro_step in range(micro_steps):
            self.batches.append(self.loader.next_batch() if batches is None else batches[micro_step])
            x_BT, y_BT = (t.to(self.device, non_blocking=True) for t in self.batches[-1])
            self.clock.lap("data")
            with torch.autocast(self.device.type, self.plan.autocast, enabled=self.plan.autocast is not None):
                loss = self.loss(x_BT, y_BT) / micro_steps
            self.clock.lap("forward")
            loss.backward()
            total += loss.detach()
            self.tokens += y_BT.numel() * self.replicas.world
            self.clock.lap("backward")
        return total

    def _reduce(self, loss: Tensor) -> float:
        """Gradients and loss of the whole batch; clipped by their norm over all of it. A loss that is no number on
        one replica is none on all."""
        self.optimizer.average(self.replicas, self.parameters, [loss], self.plan.grad_clip)
        loss_nats = loss.item()
        self.clock.lap("clip")
        return loss_nats

    def _keep_good(self) -> None:
        """Remember this step's weights, unless a number in them is not finite."""
        weights = self.weights()
        if all(bool(torch.isfinite(value).all()) for value in weights.state.values()):
            self.good = weights

    def weights(self) -> Weights:
        """A copy on the CPU of what would be exported now (averaged where a hook averages)."""
        state = {name: value.detach().to("cpu", torch.float32, copy=True) for name, value in self.average().items()}
        return Weights(state, self.model.active, self.step)

    def state(self) -> dict[str, Any]:
        """Everything that training goes on from, copied: two trainers in one state take the same steps to the bit.

        Hooks are by their place in the list; gradients are none of it. In mid-run it is whole only when a step has
        passed all hooks (``Hook.at_rest``).
        """
        return {
            "model": copy.deepcopy(self.model.state_dict()),
            "beside": copy.deepcopy(self.beside.state_dict()),
            "route": self.model.active,
            "optimizer": copy.deepcopy(self.optimizer.state()),
            "loader": self.loader.state(),
            "hooks": [copy.deepcopy(hook.state()) for hook in self.hooks],
            "seconds": self.clock.elapsed,
            "step": self.step,
            "tokens": self.tokens,
            "stopped_by": self.stopped_by,
            "random": random_state(),
        }

    def own_part(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Of a ``state()`` what no other replica has."""
        hooks = {place: state["hooks"][place] for place, hook in enumerate(self.hooks) if hook.by_rank}
        own: dict[str, Any] = {"hooks": hooks}
        if self.loader.by_rank:
            own["loader"] = state["loader"]
        if self.optimizer.shards_state:
            own["optimizer"] = state["optimizer"]
        return own

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state()`` of a trainer made from the same settings. Raises DataError for another stream."""
        self.model.load_state_dict(state["model"])
        self.beside.load_state_dict(state["beside"])
        self.model.use(state["route"])
        self.optimizer.zero_grad()
        self.optimizer.restore(state["optimizer"])
        self.loader.restore(state["loader"])
        for hook, saved in zip(self.hooks, state["hooks"], strict=True):
            hook.restore(saved)
        self.clock.restore(state["seconds"])
        self.elapsed = state["seconds"]
        self.step, self.tokens, self.stopped_by = state["step"], state["tokens"], state["stopped_by"]
        restore_random_state(state["random"])

    def phases(self) -> list[Phase]:
        """Everything that will change during the run, by start."""
        found = [
            *self.schedule.phases(),
            *self.optimizer.phases(),
            *(p for hook in self.hooks for p in hook.phases()),
        ]
        return sorted(found, key=lambda phase: (phase.start, phase.end))


def shares_state(trainer: Trainer) -> bool:
    """Has each of several replicas a part of the state, ``Trainer.own_part``? Then a checkpoint is a matter of all."""
    return trainer.replicas.world > 1 and (
        trainer.optimizer.shards_state or trainer.loader.by_rank or any(hook.by_rank for hook in trainer.hooks)
    )
