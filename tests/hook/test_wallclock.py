import pytest

from pgolf.hook.wallclock import Wallclock
from tests.train.rig import rig


@pytest.mark.parametrize("seconds", [3.0, 7.5, 20.0])
def test_elapsed_plus_one_step_never_exceeds_the_budget(seconds):
    trainer = rig(hooks=[Wallclock()], seconds=seconds)
    assert trainer.fit().seconds <= seconds
