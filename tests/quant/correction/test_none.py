"""No correction returns what it was given."""

from pgolf.core.results import QuantizedState
from pgolf.quant.correction.none import NoCorrection


def test_nothing_changes():
    state = QuantizedState(tensors=())
    assert NoCorrection().correct({}, state, {}) is state
