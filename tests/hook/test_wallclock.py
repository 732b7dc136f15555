import pytest

from pgolf.hook.wallclock import Wallclock
from tests.train.rig import rig


@pytest.mark.parametrize("seconds", [3.0, 7.5, 20.0])
def test_elapsed_plus_one_step_never_exceeds_the_budget(seconds):
    trainer = rig(hooks=[Wallclock()], seconds=seconds)
    assert trainer.fit().seconds <= seconds


def test_steps_that_become_longer_do_not_break_the_budget():
    trainer = rig(hooks=[Wallclock()], seconds=20.0)
    draw = trainer.loader.next_batch

    def slower_later():
        trainer.loader.seconds = 1.0 if trainer.step < 10 else 3.0
        return draw()

    trainer.loader.next_batch = slower_later
    result = trainer.fit()
    assert result.steps == 13 and result.seconds == 19.0


def test_a_fixed_number_of_steps_is_taken_whatever_the_clock_says():
    assert rig(hooks=[Wallclock()], seconds=3.0, steps=9).fit().steps == 9


def test_a_machine_that_slows_down_is_not_caught_out():
    trainer = rig(hooks=[Wallclock()], seconds=30.0)
    draw = trainer.loader.next_batch

    def slower():
        trainer.loader.seconds = 1.0 if trainer.step < 10 else 3.0
        return draw()

    trainer.loader.next_batch = slower
    assert trainer.fit().seconds <= 30.0
