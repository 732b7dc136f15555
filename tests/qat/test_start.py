"""A method begins once, at the step that was said, and a start that never comes is refused."""

import pytest

from pgolf.core.errors import ConfigError
from pgolf.hook.wallclock import Wallclock
from pgolf.qat.start import Switch
from pgolf.schedule.base import Schedule
from pgolf.schedule.iterations import Iterations
from pgolf.train.moment import Moment, RunLength
from pgolf.train.start import Start
from tests.train.rig import rig, warmdown

HALF = warmdown(0.5)


class RiseAndFall(Schedule):
    def __init__(self):
        super().__init__(RunLength(100.0, None, 1.0))

    def scale(self, moment):
        return min(1.0, 5 * moment.progress, 2 * (1 - moment.progress))

    def phases(self):
        return []


def in_steps(warmdown_steps, step_seconds=None):
    """A warmdown in steps of a run that the clock ends."""
    length = RunLength(20.0, None, step_seconds)
    return Iterations(length=length, warmdown_steps=warmdown_steps, floor=0.0, total_steps=None)


def run(start, steps=8, seconds=100.0):
    said, scales = [], []
    switch = Switch(start, "what", lambda: said.append("on"), scales.append)
    trainer = rig(steps=steps, seconds=seconds, hooks=[Wallclock(), switch])
    trainer.schedule = start.schedule
    trainer.fit()
    told = [(e.facts["state"], e.step, e.facts["scale"]) for e in trainer.listeners[0].of("switch")]
    return said + told, scales


def test_the_first_step_whose_rate_is_below_the_threshold_is_the_first_with_the_method():
    # eight steps of which the last four have scales 1, 0.75, 0.5, 0.25
    said, scales = run(Start(None, 0.6, HALF))
    assert said == ["on", ("enabled", 6, 0.5)] and scales == [0.5, 0.25]


def test_a_rate_equal_to_the_threshold_is_not_below_it():
    assert run(Start(None, 0.5, HALF))[0] == ["on", ("enabled", 7, 0.25)]


def test_a_fraction_of_the_run_begins_at_its_step_and_zero_before_the_first():
    assert run(Start(0.25, None, HALF))[0] == ["on", ("enabled", 2, 1.0)]
    said, scales = run(Start(0.0, None, HALF))
    assert said == ["on", ("enabled", 0, 1.0)] and len(scales) == 8


def test_nothing_begins_after_the_last_step():
    assert run(Start(0.99, None, HALF))[0] == [("not_enabled", 8, 0.25)]


def test_a_rising_rate_is_not_a_falling_one():
    start = Start(None, 0.5, RiseAndFall())
    assert [start.due(Moment(f, 0, 0.0)) for f in (0.0, 0.5, 0.76)] == [False, False, True]
    assert start.from_ == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("start", "expected"),
    [(Start(None, 0.5, HALF), 0.75), (Start(0.3, None, HALF), 0.3), (Start(0.0, None, HALF), 0.0)],
)
def test_the_printed_phase_says_when(start, expected):
    (phase,) = Switch(start, "what", lambda: None).phases()
    assert phase.start == pytest.approx(expected) and phase.end == 1.0 and phase.description == "what"


@pytest.mark.parametrize(
    ("fraction", "lr_scale", "floor", "text"),
    [
        (None, None, 0.0, "exactly one"),
        (0.5, 0.5, 0.0, "exactly one"),
        (1.0, None, 0.0, "qat.start: 1 is the run's end"),
        (None, 0.1, 0.1, "never passed; the schedule ends at 0.1"),
    ],
)
def test_a_start_that_never_comes_is_refused(fraction, lr_scale, floor, text):
    with pytest.raises(ConfigError, match=text):
        Start(fraction, lr_scale, warmdown(0.5, floor))


def test_where_the_clock_decides_the_step_the_start_is_found_on_the_way():
    """Steps of one second in 20 seconds, the last ten falling: scale 0.6 before step 15, 0.5 before step 16."""
    start = Start(None, 0.55, in_steps(10))
    said, scales = run(start, steps=None, seconds=20.0)
    assert said == ["on", ("enabled", 15, 0.5)] and scales == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    (phase,) = Switch(start, "what", lambda: None).phases()
    assert phase.start == 0.0 and phase.description == "when the learning rate's scale is below 0.55: what"


def test_a_measured_step_tells_the_start_before_the_run():
    assert Start(None, 0.55, in_steps(10, 1.0)).from_ == pytest.approx(1 - 5.5 / 20)


def test_a_warmdown_longer_than_the_run_begins_with_the_second_step():
    """By the clock the first step has the whole rate, as published, and 0.9 is passed from the second on."""
    assert run(Start(None, 0.9, in_steps(200)), steps=None, seconds=20.0)[0] == ["on", ("enabled", 1, 0.095)]


def test_what_follows_the_rate_from_a_fraction_on_needs_to_know_it_there():
    with pytest.raises(ConfigError, match=r"qat.start: 0.5, .* qat.start_lr_scale names it"):
        _ = Start(0.5, None, in_steps(10)).reference_scale
    assert Start(0.5, None, in_steps(10, 1.0)).reference_scale == 1.0
