import numpy as np
import pytest

from pgolf.core.prediction import Span
from pgolf.eval.coder import PlainRows
from pgolf.eval.encoder import Encoder
from tests.eval.fakes import Notes

TOKENS_N = np.array([5, 1, 2, 0, 3, 3, 4], dtype=np.uint16)


def test_it_writes_each_target_with_its_row_in_the_order_of_prediction():
    notes = Notes()
    encoder = Encoder(TOKENS_N, notes)
    row_IV = np.random.default_rng(0).dirichlet(np.ones(6), 3).astype(np.float32)
    place_I = np.array([4, 0, 2])
    encoder.settle(place_I, PlainRows(row_IV), TOKENS_N[place_I + 1].astype(np.int64))
    assert [token for token, _ in notes.written] == [3, 1, 0]
    assert all(np.array_equal(row_V, row_IV[index]) for index, (_, row_V) in enumerate(notes.written))


def test_it_knows_every_target_and_draws_none():
    encoder = Encoder(TOKENS_N, Notes(), (0, 3))
    assert encoder.first_tokens == [5, 0] and encoder.known(Span(1, 0, 0, 3)).tolist() == [3, 3, 4]
    assert encoder.wants(Span(0, 0, 0, 3))
    with pytest.raises(AssertionError):
        encoder.draw(0, np.ones(6, dtype=np.float32))
