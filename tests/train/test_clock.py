from pgolf.train.clock import TrainClock
from tests.train.rig import FakeTime


def test_pauses_do_not_count():
    time = FakeTime()
    clock = TrainClock(now=time)
    assert clock.elapsed == 0.0
    clock.start()
    time.now = 5.0
    with clock.paused():
        time.now = 105.0
        assert clock.elapsed == 5.0
    time.now = 107.0
    assert clock.elapsed == 7.0
