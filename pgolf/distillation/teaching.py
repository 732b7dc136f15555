"""The teacher's training before the first step, and the student's term of the loss."""

# Shapes: B batch, T time, D model, V vocab

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.block import ForwardContext
from pgolf.auxiliary.base import Head, Term
from pgolf.core.errors import TrainingError
from pgolf.core.protocols import Model
from pgolf.hook.wallclock import RECENT_STEPS
from pgolf.train.model_progress import ModelProgress
from pgolf.train.phases import Phase
from pgolf.train.trainer import Hook, Trainer


@dataclass(frozen=True, slots=True)
class TeacherRates:
    """How a teacher is trained; see ``pgolf.distillation.two_phase``."""

    lr: float
    weight_decay: float
    grad_clip: float | None
    warmdown: float

    def scale(self, progress: float) -> float:
        """The factor on the rate at this fraction of the teacher's window."""
        return min(1.0, (1 - progress) / self.warmdown) if self.warmdown else 1.0


class FromTeacher(Term):
    """The student's term. ``teacher`` is a tuple of one, so that it is no part of this module."""

    def __init__(self, *, alpha: float, temperature: float, blended: bool, forward: bool) -> None:
        super().__init__()
        self.alpha, self.temperature, self.blended, self.towards_student = alpha, temperature, blended, forward
        self.teacher: tuple[Model, ...] = ()

    def forward(self, loss: Tensor, x_BTD: Tensor, context: ForwardContext, model: Head) -> Tensor:
        with torch.no_grad():
            teacher_BTV = F.log_softmax(self.teacher[0].logits(context.ids_BT) / self.temperature, -1)
        student_BTV = F.log_softmax(model.project(x_BTD) / self.temperature, -1)
        pair = (teacher_BTV, student_BTV) if self.towards_student else (student_BTV, teacher_BTV)
        divergence = self.alpha * self.temperature**2 * kl_nats(*pair)
        return (1 - self.alpha) * loss + divergence if self.blended else loss + divergence


def kl_nats(p_BTV: Tensor, q_BTV: Tensor) -> Tensor:
    """Mean over positions of KL(p‖q), both given as log-probabilities."""
    return (p_BTV.exp() * (p_BTV - q_BTV)).sum(-1).mean()


class Teach(Hook):
    """Trains the term's teacher before the first step, on a clock of its own; lets go of it at the end."""

    def __init__(self, term: FromTeacher, rates: TeacherRates) -> None:
        (self.teacher,) = term.teacher
        self.term, self.rates = term, rates
        for activation in self.teacher.activations():
            self.teacher.activate(activation.route)
        self._eager = self.loss = self.teacher.loss
        self._listeners = ModelProgress(self.teacher).listeners
        self.optimizer = torch.optim.AdamW(self.teacher.parameters(), lr=rates.lr, weight_decay=rates.weight_decay)
        self.step = self.tokens = 0
        self.seconds = 0.0
        self.done = False
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)
        self._freeze()

    def phases(self) -> list[Phase]:
        count = sum(p.numel() for p in self.teacher.parameters())
        return [Phase(0.0, 0.0, f"before all that: a teacher of {count:,} parameters is trained, in its own window")]

    def compile_model_part(self, compiler: Callable[[Callable[..., Tensor]], Callable[..., Tensor]]) -> None:
        self.loss = compiler(self._eager)

    def _freeze(self) -> None:
        """As the student's loss uses the teacher; so it is all the time but for its own steps, so that a compiler sees
        it in no other state."""
        self.teacher.eval().requires_grad_(False)

    def rehearse(self, trainer: Trainer) -> None:
        if not self.done:
            self._take_step(trainer, 0.0)

    def before_steps(self, trainer: Trainer) -> None:
        trainer.seconds_before = self.seconds - self._beyond(trainer)
        if not self.done:
            self._teach(trainer)

    def _teach(self, trainer: Trainer) -> None:
        clock = trainer.clock.another()
        clock.restore(self.seconds)
        clock.start()
        loss_nats = math.nan
        trainer.tell("teacher", f"trains for {_window(trainer)}")
        while not self.done and trainer.stopped_by is None:
            progress = self._progress(trainer)
            self._tell_progress(progress)
            with trainer.whole_update():
                trainer.resting = False
                loss_nats = self._take_step(trainer, progress)
                self.step += 1
                if not math.isfinite(loss_nats):
                    raise TrainingError(
                        f"distillation: the teacher's loss became {loss_nats} at its step {self.step}; a smaller "
                        "distillation.lr or distillation.grad_clip may help"
                    )
                self._count(trainer, trainer.replicas.first(clock.elapsed))
                trainer.resting = True
            trainer.tell(
                "teacher_step",
                series=True,
                teacher_loss=loss_nats,
                teacher_steps=self.step,
                teacher_seconds=self.seconds,
                teacher_progress=self._progress(trainer),
            )
            trainer.rest()
        self._tell_progress(1.0)
        if self.done:
            trainer.tell("teacher", f"is done after {self.step:,} steps in {self.seconds:.0f} s, loss {loss_nats:.4f}")

    def _count(self, trainer: Trainer, elapsed: float) -> None:
        """A step has ended."""
        self._recent.append(elapsed - self.seconds)
        self.seconds = elapsed
        self.done = self._is_over(trainer)
        trainer.seconds_before = self.seconds - self._beyond(trainer)
        if self.done:
            trainer.clock.restore(self._beyond(trainer))  # is the student's loss

    def _tell_progress(self, progress: float) -> None:
        for listener in self._listeners:
            listener(progress)

    def _beyond(self, trainer: Trainer) -> float:
        """Seconds by which the teacher's window is shorter than its first step."""
        return 0.0 if trainer.plan.steps else max(0.0, self.seconds - trainer.plan.before)

    def _progress(self, trainer: Trainer) -> float:
        done = self.step if trainer.plan.steps else self.seconds
        return min(1.0, done / trainer.plan.before)

    def _is_over(self, trainer: Trainer) -> bool:
        if trainer.plan.steps:
            return self.step >= trainer.plan.before
        return self.seconds + max(self._recent) > trainer.plan.before

    def _take_step(self, trainer: Trainer, progress: float) -> float:
        self.teacher.train().requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=trainer.device)
        for _ in range(trainer.plan.accumulation):
            x_BT, y_BT = (t.to(trainer.device, non_blocking=True) for t in trainer.loader.next_batch())
            with torch.autocast(trainer.device.type, trainer.plan.autocast, enabled=trainer.plan.autocast is not None):
                loss = self.loss(x_BT, y_BT) / trainer.plan.accumulation
            loss.backward()
            total += loss.detach()
            self.tokens += y_BT.numel() * trainer.replicas.world
        trainer.replicas.mean_([total, *(p.grad for p in self.teacher.parameters() if p.grad is not None)])
        if self.rates.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.teacher.parameters(), self.rates.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates.lr * self.rates.scale(progress)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._freeze()
        return total.item()

    def at_end(self, trainer: Trainer) -> None:
        trainer.model.terms = tuple(term for term in trainer.model.terms if term is not self.term)
        self.term.teacher = ()

    def state(self) -> dict[str, Any]:
        """Of a teacher that is done its weights alone; its optimizer has no more to do."""
        return {
            "teacher": self.teacher.state_dict(),
            "optimizer": None if self.done else self.optimizer.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "recent": list(self._recent),
            "done": self.done,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.teacher.load_state_dict(state["teacher"])
        if state["optimizer"] is not None:
            self.optimizer.load_state_dict(copy.deepcopy(dict(state["optimizer"])))
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self._recent = deque(state["recent"], maxlen=RECENT_STEPS)
        self.done = state["done"]
        if self.done:
            self._tell_progress(1.0)


def _window(trainer: Trainer) -> str:
    return f"{trainer.plan.before:,.0f} {'steps' if trainer.plan.steps else 's'}"
