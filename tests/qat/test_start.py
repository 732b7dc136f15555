"""A method begins once, at the step that was said, and a start that never comes is refused."""

import pytest

from pgolf.core.errors import ConfigError
from pgolf.qat.start import Start, Switch
from pgolf.schedule.warmdown import Warmdown
from tests.train.rig import rig

HALF = Warmdown(fraction=0.5, floor=0.0)


class RiseAndFall:
    def scale(self, progress):
        return min(1.0, 5 * progress, 2 * (1 - progress))


def run(start, steps=8):
    said, scales = [], []
    switch = Switch(start, "what", lambda: said.append("on"), scales.append)
    trainer = rig(steps=steps, hooks=[switch])
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
    assert not start.due(0.0) and not start.due(0.5) and start.due(0.76)
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
        Start(fraction, lr_scale, Warmdown(fraction=0.5, floor=floor))
