"""The mean of snapshots is their mean, from the stated step on, at the stated distance."""

import pytest
import torch

from pgolf.averaging.swa import SWA
from pgolf.core.errors import ConfigError
from pgolf.hook.wallclock import Wallclock
from pgolf.schedule.warmdown import Warmdown
from pgolf.train.activation import Activate
from pgolf.train.moment import RunLength
from pgolf.train.trainer import Hook
from tests.averaging.averages import averaged, mean_of
from tests.train.rig import warmdown


def swa(every=None, every_steps=None, start=None, start_lr_scale=None):
    return SWA(every=every, every_steps=every_steps, start=start, start_lr_scale=start_lr_scale)


# The schedule falls from a third of the run on: the step after n of 20 has scale (1 - n/20) / 0.667.
TIGHT = [n + 1 for n in range(20) if (1 - n / 20) / 0.667 < 0.4]


@pytest.mark.parametrize(
    ("settings", "snapshots"),
    [
        (dict(every_steps=1, start_lr_scale=0.4), TIGHT),
        (dict(every_steps=3, start_lr_scale=0.4), [n for n in TIGHT if n % 3 == 0]),
        (dict(every_steps=5, start=0.5), [15, 20]),
        (dict(every=0.2, start=0.5), [12, 16, 20]),
        (dict(every=0.1, start=0.0), list(range(2, 21, 2))),
    ],
    ids=str,
)
def test_what_is_exported_is_the_mean_of_the_snapshots(settings, snapshots):
    average = swa(**settings)
    trainer, watch = averaged(average, steps=20)
    result = trainer.fit()
    expected = mean_of(watch.seen, snapshots)
    for name, value in result.state.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-7)
    assert result.exported == f"mean of {len(snapshots)} snapshots"


def test_a_snapshot_is_of_a_step_whose_own_learning_rate_was_below_the_threshold():
    average, scales = swa(every_steps=1, start_lr_scale=0.4), {}
    trainer, watch = averaged(average, steps=20)
    watch.after_step = lambda t, seen=watch.after_step: (
        seen(t),
        scales.setdefault(t.step, (t.lr_scale, average.count)),
    )
    trainer.fit()
    counts = [0, *(count for _, count in (scales[step] for step in sorted(step for step in scales if step)))]
    for step in range(1, 21):
        assert (counts[step] > counts[step - 1]) == (scales[step][0] < 0.4), step


def test_by_the_clock_the_same_fractions_count():
    average = swa(every=0.25, start=0.5)
    trainer, watch = averaged(average, seconds=20.0, hooks=[Wallclock()])
    result = trainer.fit()
    assert average.count == 2 and result.steps == 20
    expected = mean_of(watch.seen, [15, 20])
    for name, value in result.state.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-7)


def test_before_the_first_snapshot_the_weights_themselves_are_exported_and_said_to_be():
    trainer, watch = averaged(swa(every_steps=50, start=0.5), seconds=4.0, hooks=[Wallclock()])
    result = trainer.fit()
    assert all(torch.equal(value.double(), watch.seen[-1][name]) for name, value in result.state.items())
    assert "for lack of snapshots" in trainer.listeners[0].of("average")[0].text


def test_weights_that_start_as_copies_have_their_originals_snapshots():
    words = ("arch/recurrence=mini", "arch.recurrence.start=0.5")
    average = swa(every_steps=1, start=0.0)
    trainer, _ = averaged(average, steps=4, words=words)
    switch, seen = Activate(trainer.model.activations(), trainer.model.routes, 4), {}

    class See(Hook):
        def after_switch(self, trainer, copied):
            seen.update({own: torch.equal(trainer.average()[own], trainer.average()[of]) for own, of in copied.items()})

    trainer.hooks += [switch, See()]
    trainer.fit()
    assert len(seen) == 4 and all(seen.values())


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (dict(every_steps=50, start=0.5), 49),
        (dict(every_steps=50, start=0.999), 950),
        (dict(every=0.005, start_lr_scale=0.2), 1),
        (dict(every=0.5, start=0.6), 1),
    ],
    ids=str,
)
def test_fixed_steps_none_of_which_leaves_a_snapshot_are_refused(settings, steps):
    with pytest.raises(ConfigError, match=f"of {steps:,} steps"):
        swa(**settings).prepare(Warmdown(length=RunLength(100.0, steps), fraction=0.667, floor=0.0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(start=0.5), "averaging.every, averaging.every_steps: None and None"),
        (dict(every=0.1, every_steps=5, start=0.5), "exactly one of them"),
        (dict(every=0.0, start=0.5), "above 0"),
        (dict(every_steps=5), "averaging.start, averaging.start_lr_scale: None and None"),
        (dict(every_steps=5, start=1.0), "averaging.start: 1 is the run's end"),
        (dict(every=0.9, start=0.95), "there would be no snapshot"),
    ],
    ids=str,
)
def test_what_would_average_nothing_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        swa(**settings).prepare(warmdown(fraction=0.667, floor=0.0))


def test_a_threshold_below_the_schedules_floor_is_refused():
    with pytest.raises(ConfigError, match=r"averaging.start_lr_scale: 0.2 is never passed"):
        swa(every=0.01, start_lr_scale=0.2).prepare(warmdown(fraction=0.5, floor=0.3))
