"""What tests of methods share: methods on the tiny rig, exported weights, gradients by name."""

from __future__ import annotations

import torch

from pgolf.core.make import make
from pgolf.qat.base import Prepared
from pgolf.train.trainer import Hook
from tests.helpers import ids, randomise, tiny_model, tiny_settings
from tests.train.rig import rig, warmdown

FALLING = warmdown(1.0)


def on_a_known_grid(*words):
    """``words``, and a quantizer whose grid is known before training where they name none."""
    return words if any(word.startswith("quant=") for word in words) else ("quant=int5_rtn", *words)


def quantizer(*words):
    return make(tiny_settings(*on_a_known_grid(*words))["quant"])


def prepared(method, *words, model=None, schedule=FALLING) -> Prepared:
    """``method`` on a tiny model whose weights are all moved off zero."""
    if model is None:
        model = tiny_model(*words)
        randomise(model)
    return method.prepare(model, quantizer(*words), schedule)


def exported(model, *words) -> dict[str, torch.Tensor]:
    """The weights that the run's quantizer would put into the artifact, decoded."""
    rounding = quantizer(*words)
    return rounding.dequantize(rounding.quantize(model.state_dict(), model.param_specs(), model.aliases()))


def batch():
    return ids(seed=1), ids(seed=2)


def gradients(model, loss) -> dict[str, torch.Tensor]:
    """Of ``loss`` with respect to the parameters that have one; leaves none behind."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


class Watch(Hook):
    """What the method said, the loss it made, and in which steps it was on."""

    def __init__(self, loss, heard):
        self.loss, self.heard, self.on = loss, heard, []

    @property
    def said(self):
        """(state, step, scale of the learning rate) of every switch."""
        return [
            (e.facts["state"], e.step, round(e.facts["scale"], 6))
            for e in self.heard.of("switch")
            if "scale" in e.facts
        ]


def training(method, steps=8, before=(), words=(), schedule=FALLING):
    """A trainer on random tokens with ``method`` as build_trainer adds it, and what listens to it."""
    trainer = rig(steps=steps, words=words)
    randomise(trainer.model)
    trainer.schedule = schedule
    found = method.prepare(trainer.model, quantizer(*words), schedule)
    watch = Watch(found.loss, trainer.listeners[0])
    *_, switch = found.hooks
    trainer.hooks = [*found.updates, *before, *found.hooks, watch]
    trainer.loss = lambda x, y: watch.on.append(switch.on) or found.loss(x, y)
    return trainer, watch
