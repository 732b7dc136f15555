"""A larger model is trained first; then the run's own learns from the text and from it, and it is thrown away.

The first ``share`` of the training budget, seconds or steps, goes to the teacher: plain AdamW, its own rate, constant
or falling linearly to 0 over the last ``warmdown`` of its window. Then the student, whose schedules see its own window
alone, minimises, per token and with teacher and student at temperature T,
``CE + α·T²·KL`` (``mix: added``) or ``(1−α)·CE + α·T²·KL`` (``mix: blended``),
KL(teacher‖student) (``direction: forward``) or KL(student‖teacher) (``reverse``).
Source: #687's script, ``distillation=pr687`` (13 layers, α 0.5, T 2, added, forward; off by default there, no result;
its student's clock was not shortened, and each of its processes had a teacher of its own); Hinton et al. 2015
(arXiv 1503.02531), blended; spec optimizer §6.
Cost in bytes: none, the teacher is in no artifact. Cost in step time: the teacher's forward pass in each of the
student's steps, and both models' logits in full; before that ``share`` of the run.
Hurts: on a budget of minutes the student loses the steps that the teacher took, and the teacher is hardly better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.core.protocols import Model
from pgolf.core.ranges import Between, Fraction, NonNegativeFloat, PositiveFloat, PositiveFraction
from pgolf.distillation.base import Distillation
from pgolf.distillation.teaching import FromTeacher, Teach, TeacherRates
from pgolf.train.trainer import Hook


def _changed(settings: Mapping[str, Any], changes: Mapping[str, Any], place: str) -> dict[str, Any]:
    """``settings`` with ``changes``, key by key all the way down. Raises ConfigError for a key that is not there."""
    unknown = [key for key in changes if key not in settings]
    if unknown:
        known = [str(key) for key in settings if key != "_target_"]
        raise ConfigError(f"{place}.{unknown[0]}: arch takes {', '.join(known)}.{did_you_mean(unknown[0], known)}")
    deeper = {
        key: _changed(settings[key], value, f"{place}.{key}") if isinstance(value, Mapping) and settings[key] else value
        for key, value in changes.items()
    }
    return {**settings, **deeper}


class TwoPhase(Distillation):
    """``teacher``: what is different in its settings from the run's ``arch``; with ``_target_``, all its settings."""

    def __init__(
        self,
        *,
        teacher: Mapping[str, Any],
        share: Annotated[float, Between(0, 0.99, open_low=True)],
        alpha: PositiveFraction,
        temperature: PositiveFloat,
        mix: Literal["added", "blended"],
        direction: Literal["forward", "reverse"],
        lr: PositiveFloat,
        weight_decay: NonNegativeFloat,
        grad_clip: PositiveFloat | None,
        warmdown: Fraction,
    ) -> None:
        self.share, self._teacher = share, teacher
        self._term = FromTeacher(
            alpha=alpha, temperature=temperature, blended=mix == "blended", forward=direction == "forward"
        )
        self._rates = TeacherRates(lr, weight_decay, grad_clip, warmdown)

    def teacher(self, arch: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._teacher if "_target_" in self._teacher else _changed(arch, self._teacher, "distillation.teacher")

    def attach(self, model: Model, teacher: Model) -> Sequence[Hook]:
        self._term.teacher = (teacher,)
        model.terms = (self._term, *model.terms)
        return (Teach(self._term, self._rates),)
