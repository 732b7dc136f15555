"""One batch ahead on a thread: nothing about the order changes, errors arrive, the thread ends."""

import threading
import time

import pytest
import torch

from pgolf.data.shards import whole, write_shard
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.sequential import Sequential


class Counting:
    """A loader that counts, and breaks at ``fails_at``."""

    def __init__(self, fails_at=None):
        self.count, self.fails_at = 0, fails_at

    def next_batch(self):
        if self.count == self.fails_at:
            raise OSError("the disk is gone")
        self.count += 1
        return torch.tensor([[self.count]]), torch.tensor([[self.count + 1]])

    def state(self):
        return {"count": self.count}

    def restore(self, state):
        self.count = state["count"]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch" and thread.is_alive()]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not threads()


def test_first_fifty_batches_are_identical_with_and_without(tmp_path):
    write_shard(tmp_path / "x.bin", torch.arange(5000).numpy())
    numbers = {"batch_tokens": 128, "window": 16, "accumulation": 1, "rank": 0, "world": 1}
    plain = Sequential(slices=whole([tmp_path / "x.bin"]), **numbers)
    ahead = Prefetch(Sequential(slices=whole([tmp_path / "x.bin"]), **numbers))
    for _ in range(50):
        for expected, found in zip(plain.next_batch(), ahead.next_batch(), strict=True):
            assert torch.equal(expected, found)
        assert plain.state() == ahead.state()
    ahead.close()


def test_state_is_that_of_the_last_batch_delivered():
    ahead = Prefetch(Counting())
    assert ahead.state() == {"count": 0}
    for count in (1, 2, 3):
        assert ahead.next_batch()[0].item() == count
        time.sleep(0.01)  # let it read ahead
        assert ahead.state() == {"count": count}
    ahead.close()


def test_errors_arrive_in_their_turn_and_end_the_thread():
    ahead = Prefetch(Counting(fails_at=2))
    assert [ahead.next_batch()[0].item() for _ in range(2)] == [1, 2]
    with pytest.raises(OSError, match="disk is gone"):
        ahead.next_batch()


def test_close_stops_the_thread_and_the_order_goes_on_after_it():
    ahead = Prefetch(Counting())
    ahead.next_batch()
    assert threads()
    ahead.close()
    ahead.close()
    assert not threads()
    assert ahead.next_batch()[0].item() == 2
    ahead.close()


def test_load_state_forgets_what_was_read_ahead():
    ahead = Prefetch(Counting())
    ahead.next_batch()
    ahead.restore({"count": 70})
    assert ahead.next_batch()[0].item() == 71
    ahead.close()
