"""Experts and mixers under observation: they behave as before and write down what was asked of them.

Shapes: B windows, T positions, K kept positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from pgolf.core.protocols import Expert, Mixer
from pgolf.eval.evaluator import Evaluator
from pgolf.proof.fingerprint import fingerprint


@dataclass
class SpiedCall:
    """``kind`` is ``predict`` (of ``positions`` positions, in state ``state``) or ``observe`` (of ``tokens``)."""

    kind: str
    positions: int = 0
    state: str = ""
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


class WatchedExpert:
    def __init__(self, expert: Expert) -> None:
        self.expert = expert
        self.events: list[SpiedCall] = []

    def log_probs(self, inputs_BT: Tensor, keep: int) -> Tensor:
        self.events.append(SpiedCall("predict", len(inputs_BT) * keep, fingerprint(self.expert)))
        return self.expert.log_probs(inputs_BT, keep)

    def observe(self, tokens_N: Tensor) -> None:
        self.events.append(SpiedCall("observe", tokens=tokens_N.cpu().numpy().copy()))
        self.expert.observe(tokens_N)

    def fork(self) -> Expert:
        return self.expert.fork()


class WatchedFusedExpert(WatchedExpert):
    def score(self, inputs_BT: Tensor, targets_BT: Tensor, keep: int) -> Tensor:
        self.events.append(SpiedCall("predict", len(inputs_BT) * keep, fingerprint(self.expert)))
        return self.expert.score(inputs_BT, targets_BT, keep)  # type: ignore[attr-defined]


class DeafExpert(WatchedExpert):
    """Predicts as before and learns nothing."""

    def observe(self, tokens_N: Tensor) -> None:
        self.events.append(SpiedCall("observe", tokens=tokens_N.cpu().numpy().copy()))


class DeafFusedExpert(WatchedFusedExpert, DeafExpert):
    pass


class DeafMixer:
    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer

    def combine(self, logps: Sequence[Tensor]) -> Tensor:
        return self.mixer.combine(logps)

    def observe(self, logps_target: Sequence[Tensor]) -> None:
        """Nothing is learnt."""

    def fork(self) -> Mixer:
        return self.mixer.fork()


def watch(evaluator: Evaluator) -> list[WatchedExpert]:
    """Put every expert of ``evaluator`` under observation."""
    watched = [WatchedFusedExpert(e) if hasattr(e, "score") else WatchedExpert(e) for e in evaluator.experts]
    evaluator.experts = list(watched)
    return watched


def deafen(evaluator: Evaluator) -> None:
    """Switch off all learning of ``evaluator``'s experts and mixer."""
    evaluator.experts = [DeafFusedExpert(e) if hasattr(e, "score") else DeafExpert(e) for e in evaluator.experts]
    evaluator.mixer = DeafMixer(evaluator.mixer)
