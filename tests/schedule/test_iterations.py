"""The published rule in steps, by the clock and without one (spec optimizer §4, §9.6); what never begins is refused."""

import pytest

from pgolf.config.compose import node
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.run.rules import check
from pgolf.schedule.iterations import Iterations
from pgolf.train.moment import Moment, RunLength
from tests.helpers import tiny_settings
from tests.train.rig import warmdown


def clocked(steps=1200, seconds=600.0, step_seconds=None, floor=0.0):
    length = RunLength(seconds, None, step_seconds)
    return Iterations(length=length, warmdown_steps=steps, floor=floor, total_steps=None)


def counted(steps, run_steps, total_steps=None, floor=0.0):
    return Iterations(length=RunLength(1.0, run_steps), warmdown_steps=steps, floor=floor, total_steps=total_steps)


def at(step, step_seconds=0.05, seconds=600.0):
    elapsed = step * step_seconds
    return Moment(min(1.0, elapsed / seconds), step, elapsed)


@pytest.mark.parametrize(("step", "expected"), [(1_000, 1.0), (11_000, 0.8333), (12_000, 0.0), (12_500, 0.0)])
def test_the_multiplier_at_published_steps(step, expected):
    assert clocked().scale(at(step)) == pytest.approx(expected, abs=1e-4)
    assert counted(1200, 12_000).scale(Moment(0.0, step, 0.0)) == pytest.approx(expected, abs=1e-4)


def test_more_steps_than_the_run_has_fall_from_below_one_but_for_the_first_step_by_the_clock():
    """600 s of 49.18 ms: 12,200 steps, and 20,000 falling ones begin at 0.61 (#687)."""
    always, step_seconds = clocked(20_000), 600 / 12_200
    scales = [always.scale(at(step, step_seconds)) for step in (0, 1, 6_100, 12_200)]
    assert scales == pytest.approx([1.0, 0.61, 0.305, 0.0], abs=1e-3)
    assert counted(20_000, 12_200).scale(Moment(0.0, 0, 0.0)) == pytest.approx(0.61)  # no glitch without a clock


def test_a_machine_that_slows_down_still_ends_at_zero():
    falling, elapsed, scales = clocked(4, seconds=20.0), 0.0, []
    for step in range(15):
        scales.append(falling.scale(Moment(elapsed / 20, step, elapsed)))
        elapsed += 1.0 if step < 10 else 2.0
    assert scales[10] == 1.0 and scales[-1] < 0.4 and falling.scale(Moment(1.0, 15, 20.0)) == 0.0
    assert scales == sorted(scales, reverse=True)


def test_the_floor_holds_by_both_rules():
    assert clocked(floor=0.1).scale(at(12_000)) == 0.1 and counted(1200, 12_000, floor=0.1).foreseen(1.0) == 0.1


def test_at_constant_speed_the_clocks_rule_is_the_fraction_it_takes():
    for progress in (0.05, 0.5, 0.91, 0.97, 1.0):
        by_fraction = warmdown(0.1).foreseen(progress)
        assert clocked(step_seconds=0.05).foreseen(progress) == pytest.approx(by_fraction, abs=1e-9)


def test_what_is_foreseen_without_a_speed_is_the_end_alone():
    falling = clocked(floor=0.1)
    assert falling.foreseen(0.5) is None and falling.foreseen(1.0) == 0.1
    (phase,) = falling.phases()
    assert "as many seconds as the last 1,200 steps take" in phase.description


@pytest.mark.parametrize(
    ("schedule", "starts"),
    [
        (clocked(step_seconds=0.05), [0.0, 0.9]),
        (counted(1200, 12_000), [0.0, 0.9]),
        (counted(20_000, 12_200), [0.0]),
        (counted(1200, 10_000, total_steps=11_000), [0.0, 0.98]),
    ],
)
def test_the_phases_say_where_the_fall_begins(schedule, starts):
    phases = schedule.phases()
    assert [p.start for p in phases] == pytest.approx(starts) and phases[-1].end == 1.0


@pytest.mark.parametrize(
    ("run_steps", "total_steps", "text"),
    [
        (2_100, 20_000, "warmdown_steps: 9999 of 20000 steps never begin in a run of 2100"),  # 1681
        (2_100, 2_000, "total_steps: 2000 steps end before the run's 2100"),
        (None, 20_000, "nobody knows how many steps the clock will allow"),
    ],
)
def test_a_fall_that_never_begins_is_refused(run_steps, total_steps, text):
    with pytest.raises(ConfigError, match=text):
        counted(9_999, run_steps, total_steps)


def test_it_is_refused_before_training():
    words = ("schedule=iterations", "schedule.total_steps=9000", "budget.train_steps=50")
    with pytest.raises(ConfigError, match="1200 of 9000 steps never begin in a run of 50"):
        check(tiny_settings(*words))


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        *(("baseline", 1_200), ("pr187", 3_500), ("pr549", 3_500), ("pr687", 20_000), ("pr1204", 3_500)),
        *(("pr1394", 0.667), ("pr1855", 0.85)),
    ],
)
def test_presets_are_the_records_numbers(preset, expected):
    schedule = make(node("schedule", preset, ["size=record"]), length=RunLength(600.0, None))
    assert vars(schedule).get("warmdown_steps", vars(schedule).get("fraction")) == expected
    assert schedule.floor == (0.1 if preset == "pr1855" else 0.0)
