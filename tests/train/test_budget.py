"""Training and the calibration that reads training text share the budget's seconds, whatever a step takes."""

import pytest

from pgolf.core.budget import seconds_left, training_seconds
from pgolf.hook.wallclock import Wallclock
from pgolf.quant.calibration import measure
from pgolf.quant.calibration.measure import TrainingBatches
from pgolf.track.ledger import within
from tests.train.rig import FakeTime, RandomLoader, rig


@pytest.mark.parametrize("step_seconds", [0.7, 3.0, 11.0])
@pytest.mark.parametrize("reserve", [12.0, 100.0])
def test_with_a_fake_clock_training_and_calibration_are_within_600_seconds(step_seconds, reserve, monkeypatch):
    budget = {"train_seconds": 60.0 * 10, "train_steps": None}
    trainer = rig(hooks=[Wallclock()], seconds=training_seconds(budget, reserve))
    trainer.forward_backward = lambda batches: trainer.loader.next_batch() and 1.0
    trainer.optimizer.step = lambda lr_scale, progress: None
    trainer.loader.seconds = step_seconds
    result = trainer.fit()
    assert result.seconds <= 600.0 - reserve
    time = FakeTime()
    monkeypatch.setattr(measure.time, "perf_counter", time)
    batches = TrainingBatches(
        lambda: RandomLoader(time, step_seconds), trainer.device, seconds_left(budget, result.seconds)
    )
    count = 0
    while batches() is not None:
        count += 1
    assert result.seconds + time.now <= 600.0 and count > 0
    facts = {"seconds": result.seconds, "ms_per_step": 1000 * step_seconds}
    ledger = {"train": result.seconds + 50.0, "calibrate": time.now}  # validation is in the stage, not on the clock
    assert within({"budget": budget, "train": facts, "ledger": ledger}, "train_seconds")
    late = facts | {"seconds": 601.0 + step_seconds}
    assert not within({"budget": budget, "train": late, "ledger": ledger | {"calibrate": 0.0}}, "train_seconds")
