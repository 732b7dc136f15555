import numpy as np
import pytest

from pgolf.eval.slots import DoubleScore, WriteOnce


def test_a_slot_is_written_once():
    slots = WriteOnce(5)
    slots.write(1, np.array([1.0, 2.0]))
    with pytest.raises(DoubleScore, match="position 2 was scored already"):
        slots.write(2, np.array([0.5]))
    assert slots.written == 2
    assert slots.writes_N.tolist() == [0, 1, 1, 0, 0]
    assert np.isnan(slots.values_N[[0, 3, 4]]).all() and slots.values_N[[1, 2]].tolist() == [1.0, 2.0]


def test_a_refused_write_changes_nothing():
    slots = WriteOnce(5)
    slots.write(2, np.array([1.0]))
    for start, values in ((1, [5.0, 5.0]), (3, [5.0, np.nan]), (3, [5.0, 5.0, 5.0])):
        with pytest.raises((DoubleScore, ValueError, IndexError)):
            slots.write(start, np.array(values))
    assert slots.writes_N.tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_array_equal(slots.values_N, [np.nan, np.nan, 1.0, np.nan, np.nan])


def test_values_cannot_be_changed_from_outside():
    slots = WriteOnce(3)
    with pytest.raises(ValueError, match="read-only"):
        slots.values_N[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        slots.writes_N[0] = 1


def test_forks_are_independent():
    slots = WriteOnce(3)
    fork = slots.fork()
    fork.write(0, np.array([1.0]))
    assert slots.written == 0
    slots.write(0, np.array([2.0]))
    assert fork.values_N[0] == 1.0


def test_positions_outside_and_not_numbers_are_refused():
    with pytest.raises(IndexError, match="outside"):
        WriteOnce(3).write(2, np.zeros(2))
    with pytest.raises(IndexError, match="outside"):
        WriteOnce(3).write(-1, np.zeros(2))
    with pytest.raises(ValueError, match="position 1 is not a number"):
        WriteOnce(3).write(0, np.array([0.0, np.nan]))
