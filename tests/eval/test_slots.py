import numpy as np
import pytest

from pgolf.eval.slots import DoubleScore, WriteOnce


def test_a_slot_is_written_once():
    slots = WriteOnce(5)
    slots.write(1, np.array([1.0, 2.0]))
    with pytest.raises(DoubleScore, match="position 2 was scored already"):
        slots.write(2, np.array([0.5]))
    assert slots.written == 2
    assert np.isnan(slots.nll_nats_N[[0, 3, 4]]).all()


def test_scores_cannot_be_changed_from_outside():
    slots = WriteOnce(3)
    with pytest.raises(ValueError, match="read-only"):
        slots.nll_nats_N[0] = 1.0


def test_forks_are_independent():
    slots = WriteOnce(3)
    fork = slots.fork()
    fork.write(0, np.array([1.0]))
    assert slots.written == 0


def test_positions_outside_and_not_numbers_are_refused():
    with pytest.raises(IndexError, match="outside"):
        WriteOnce(3).write(2, np.zeros(2))
    with pytest.raises(ValueError, match="position 1 is not a number"):
        WriteOnce(3).write(0, np.array([0.0, np.nan]))
