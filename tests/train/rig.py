"""A trainer on random tokens with a clock that tests can turn; ``trainer.listeners[0]`` has heard everything."""

from __future__ import annotations

import torch

from pgolf.core.make import make
from pgolf.schedule.warmdown import Warmdown
from pgolf.train.clock import TrainClock
from pgolf.train.moment import RunLength
from pgolf.train.replicas import ALONE
from pgolf.train.trainer import Plan, Runtime, Trainer
from tests.helpers import VOCAB, tiny_model, tiny_settings


class FakeTime:
    """Seconds that pass only when a batch is drawn."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class RandomLoader:
    """Random batches with a restorable position, dealt to replicas; each takes ``seconds`` of fake time."""

    by_rank = False

    def __init__(self, time: FakeTime, seconds: float = 1.0, replicas=ALONE) -> None:
        self.time, self.seconds, self.position, self.replicas = time, seconds, 0, replicas

    def next_batch(self):
        place = self.position * self.replicas.world + self.replicas.rank
        generator = torch.Generator().manual_seed(place)
        self.position += 1
        self.time.now += self.seconds
        x = torch.randint(2, VOCAB, (2, 17), generator=generator)
        return x[:, :-1], x[:, 1:]

    def state(self):
        return {"position": self.position}

    def restore(self, state):
        self.position = state["position"]


class Heard:
    """Every event that was told, in order."""

    def __init__(self) -> None:
        self.events = []

    def hear(self, event):
        self.events.append(event)

    def of(self, name):
        return [event for event in self.events if event.name == name]


def warmdown(fraction, floor=0.0):
    return Warmdown(length=RunLength(100.0, None), fraction=fraction, floor=floor)


def no_dev(state, tokens):
    raise AssertionError("no hook of this test scores dev")


def rig(
    hooks=(), steps=None, seconds=100.0, accumulation=1, words=(), seed=0, before=0.0, after=0.0, replicas=ALONE
) -> Trainer:
    model = tiny_model(*words, seed=seed)
    cfg = tiny_settings("optimizer.ns_dtype=float32")
    time = FakeTime()
    runtime = Runtime(
        optimizer=make(cfg["optimizer"], model=model),
        schedule=make(cfg["schedule"], length=RunLength(seconds, steps)),
        loader=RandomLoader(time, replicas=replicas),
        hooks=list(hooks),
        clock=TrainClock(now=time),
        score_dev=no_dev,
        listeners=[Heard()],
        replicas=replicas,
    )
    return Trainer(model, Plan(seconds, steps, accumulation, 0.3, None, before, after), runtime, model.loss)
