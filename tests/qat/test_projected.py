"""After every step the weights lie on the export grid, and averages are taken of those."""

import torch

from pgolf.averaging.ema import EMA
from pgolf.qat.projected import Projected
from pgolf.train.trainer import Hook
from tests.helpers import tiny_model
from tests.qat.qats import FALLING, batch, exported, quantizer, training

MATRIX = "layers.0.mlp.up.weight"


class OnGrid(Hook):
    """After which steps the weights are exactly what would be exported of them."""

    def __init__(self):
        self.seen, self.live = [], []

    def after_step(self, trainer):
        self.live.append(trainer.model.get_parameter(MATRIX).detach().clone())
        self.seen.append(torch.equal(exported(trainer.model)[MATRIX], self.live[-1]))


def run(start, before=(), **kwargs):
    watch = OnGrid()
    trainer, _ = training(Projected(start=start, start_lr_scale=None), before=[*before, watch], **kwargs)
    initial = trainer.model.get_parameter(MATRIX).detach().clone()
    trainer.fit()
    return watch, initial


def test_from_its_start_on_every_step_ends_on_the_grid():
    watch, _ = run(0.5)
    assert watch.seen == [False] * 4 + [True] * 4


def test_averages_are_taken_of_projected_weights():
    ema = EMA(decay=0.9)
    watch, average = run(0.0, steps=3, before=[ema])
    for step, live in enumerate(watch.live, 1):
        average = torch.lerp(average, live, 1 - min(0.9, (1 + step) / (10 + step)))
    torch.testing.assert_close(ema.shadow[MATRIX], average)
    assert watch.seen == [True] * 3


def test_the_loss_is_the_models_own():
    model = tiny_model()
    found = Projected(start=0.5, start_lr_scale=None).prepare(model, quantizer(), FALLING)
    assert torch.equal(found.loss(*batch()), model.loss(*batch())) and len(found.updates) == 1
