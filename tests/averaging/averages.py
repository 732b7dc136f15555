"""Trainers whose weights after every step are kept, for closed forms."""

from pgolf.train.trainer import Hook
from tests.train.rig import rig


class Watch(Hook):
    """The weights after each step, as doubles; ``seen[0]`` are those before the first."""

    def __init__(self):
        self.seen = []

    def at_start(self, trainer):
        self.after_step(trainer)

    def after_step(self, trainer):
        self.seen.append({n: v.detach().double().clone() for n, v in trainer.model.state_dict().items()})


def averaged(averaging, **kwargs):
    """A trainer with the averaging prepared as in a run, and the watch beside it."""
    trainer, watch = rig(**kwargs), Watch()
    averaging.prepare(trainer.schedule)
    trainer.hooks = [averaging, watch, *trainer.hooks]
    return trainer, watch


def mean_of(seen, steps):
    return {name: sum(seen[step][name] for step in steps) / len(steps) for name in seen[0]}


def ema_of(seen, decay):
    shadow = dict(seen[0])
    for t, weights in enumerate(seen[1:], start=1):
        d = min(decay, (1 + t) / (10 + t))
        shadow = {name: d * shadow[name] + (1 - d) * weights[name] for name in shadow}
    return shadow
