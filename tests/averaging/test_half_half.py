"""Half and half is the mean of both averages; the preset is #187's."""

import pytest
import torch

from pgolf.averaging.half_half import HalfHalf
from pgolf.config.compose import node
from pgolf.core.make import make
from pgolf.hook.wallclock import Wallclock
from pgolf.train.moment import Moment
from pgolf.train.warmup import warm_up
from tests.averaging.averages import averaged, ema_of, mean_of
from tests.helpers import tiny_settings


def test_what_is_exported_is_the_mean_of_both_averages():
    average = HalfHalf(decay=0.8, every=None, every_steps=2, start=0.5, start_lr_scale=None)
    trainer, watch = averaged(average, steps=12)
    result = trainer.fit()
    mean, ema = mean_of(watch.seen, [8, 10, 12]), ema_of(watch.seen, 0.8)
    for name, value in result.state.items():
        torch.testing.assert_close(value.double(), (mean[name] + ema[name]) / 2, rtol=1e-5, atol=1e-7)
    assert result.exported == "half exponential moving average with decay 0.8, half mean of 3 snapshots"


def test_before_the_first_snapshot_it_is_the_moving_average():
    average = HalfHalf(decay=0.8, every=None, every_steps=50, start=0.5, start_lr_scale=None)
    trainer, watch = averaged(average, seconds=4.0, hooks=[Wallclock()])
    result = trainer.fit()
    ema = ema_of(watch.seen, 0.8)
    for name, value in result.state.items():
        torch.testing.assert_close(value.double(), ema[name], rtol=1e-5, atol=1e-7)
    assert "for lack of snapshots" in average.exported


@pytest.mark.parametrize("option", ["swa", "half_half", "none"])
def test_a_warm_up_leaves_no_trace_in_an_average(option):
    def run(warmed):
        trainer, _ = averaged(make(tiny_settings(f"averaging={option}")["averaging"]), steps=8)
        if warmed:
            warm_up(trainer, 0.0)
        return trainer.fit().state

    plain, warmed = run(False), run(True)
    assert all(torch.equal(plain[name], warmed[name]) for name in plain)


def test_the_preset_takes_fourteen_snapshots_of_187s_warmdown():
    preset = make(node("averaging", "pr187", ["size=record"]))
    average = preset.swa
    trainer, _ = averaged(preset, steps=9268)
    trainer.schedule.fraction = 3500 / 9268
    average.prepare(trainer.schedule)
    snapshots = [step for step in range(50, 9269, 50) if average._start.due(Moment((step - 1) / 9268, step - 1, 0.0))]
    assert len(snapshots) == 14 and preset.ema.decay == 0.997
