"""What is forecast of steps and phases is what a run at that pace does; what cannot come is refused before it."""

import copy

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.hook.wallclock import Wallclock
from pgolf.train.activation import Activate
from pgolf.train.pace import DOUBT, pace_of, refuse_never, refuse_out_of_reach, timed
from pgolf.train.phases import Phase
from tests.train.rig import rig

TWO = ("arch/recurrence=segment_loop", "arch.recurrence.starts=[0.25,0.5]")
AT_STEP = ("arch/recurrence=mini", "arch.recurrence.start=null", "arch.recurrence.start_step=7")
SECONDS = {"plain": 1.0, "extra1": 2.0, "extra2": 4.0, "recurrent": 3.0}


def clocked(words, seconds=None, steps=None):
    """A trainer whose steps take a fake time by their route."""
    trainer = rig(words=words, steps=steps, seconds=seconds or 100.0)
    trainer.hooks = [Wallclock(), Activate(trainer.model.activations(), trainer.model.routes, steps)]
    honest = trainer.loader.next_batch

    def next_batch():
        trainer.loader.seconds = SECONDS[trainer.model.active]
        return honest()

    trainer.loader.next_batch = next_batch
    return trainer


@pytest.mark.parametrize(
    ("words", "seconds", "steps"),
    [(TWO, 32.0, None), (AT_STEP, 28.0, None), (TWO, None, 8), (AT_STEP, None, 12)],
    ids=["fractions", "a step", "fixed steps, fractions", "fixed steps, a step"],
)
def test_a_run_under_a_fake_clock_does_what_was_forecast(words, seconds, steps):
    trainer = clocked(words, seconds, steps)
    pace = timed(trainer)
    expected = [pace.step_of(phase) for phase in trainer.phases() if phase.switch]
    result = trainer.fit()
    assert [event.step for event in trainer.listeners[0].of("switch")] == expected and len(expected) > 0
    assert result.steps == pace.steps
    assert result.seconds == pytest.approx(pace.needed_seconds)


def test_timing_leaves_no_trace_and_times_every_route():
    trainer = clocked(TWO, 32.0)
    before, random = copy.deepcopy(trainer.model.state_dict()), torch.get_rng_state()
    pace = timed(trainer)
    assert [stretch.step_seconds for stretch in pace.stretches] == [1.0, 2.0, 4.0]
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    assert (trainer.loader.position, trainer.step, trainer.tokens, trainer.model.active) == (0, 0, 0, "plain")
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("phase", "comes"),
    [
        (Phase(0.95, 1.0, "late", switch=True), True),
        (Phase(0.951, 1.0, "late", switch=True), False),
        (Phase(0.951, 1.0, "a score"), True),
        (Phase(0.0, 1.0, "at a step", at_step=19, switch=True), True),
        (Phase(0.0, 1.0, "at a step", at_step=20, switch=True), False),
    ],
    ids=str,
)
def test_a_switch_that_no_step_of_the_run_comes_to_is_refused(phase, comes):
    refuse_never([phase], None)
    if comes:
        refuse_never([phase], 20)
    else:
        with pytest.raises(ConfigError, match=rf"never begins: {phase.description}"):
            refuse_never([phase], 20)


def test_by_the_clock_only_what_is_far_out_of_reach_is_refused_and_steps_are_taken_only_where_that_is_asked():
    refuse_out_of_reach(clocked(AT_STEP, 10.0))
    trainer = clocked(AT_STEP, 7 / DOUBT - 1)
    with pytest.raises(ConfigError, match=r"out of reach: recurrence.*from step 7 on, and the run ends after"):
        refuse_out_of_reach(trainer)
    trainer = clocked(TWO, 1.0)
    trainer.forward_backward = None
    refuse_out_of_reach(trainer)


def test_the_longest_stretch_of_a_pace_is_the_whole_run():
    pace = pace_of({"plain": 0.5}, "plain", (), 10.0, None)
    assert (pace.steps, pace.needed_seconds) == (20, 10.0)
    assert pace.step_of(Phase(0.5, 1.0, "half")) == 10
