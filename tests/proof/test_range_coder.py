import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.proof.range_coder import RangeReader, RangeWriter


def rows_of(seed, count, size, sharpness):
    return np.random.default_rng(seed).dirichlet(np.full(size, sharpness), count).astype(np.float32)


def written(tokens, rows):
    writer = RangeWriter()
    for token, row_V in zip(tokens, rows, strict=True):
        writer.write(int(token), row_V)
    assert writer.tokens == len(tokens)
    return writer.data()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 200),
    st.sampled_from([2, 3, 260, 4096]),
    st.sampled_from([1e-3, 0.1, 1.0, 50.0]),
)
def test_tokens_come_back_whatever_their_rows(seed, count, size, sharpness):
    rows = rows_of(seed, count, size, sharpness)
    tokens = np.random.default_rng(seed + 1).integers(0, size, count)  # some of them of probability zero
    reader = RangeReader(written(tokens, rows))
    assert [reader.read(row_V) for row_V in rows] == tokens.tolist()


def test_it_takes_what_the_rows_say():
    rows = rows_of(0, 5_000, 4096, 0.01)
    tokens = [
        np.random.default_rng(index).choice(4096, p=row / row.sum()) for index, row in enumerate(rows.astype(float))
    ]
    bits = -np.log2(rows[np.arange(len(tokens)), tokens].astype(np.float64)).sum()
    size = 8 * len(written(tokens, rows))
    assert bits <= size <= bits + 48 + 0.001 * len(tokens)


def test_who_claims_more_than_one_pays_for_it():
    rows = rows_of(0, 200, 16, 1.0)
    tokens = rows.argmax(-1)
    assert written(tokens, rows) == written(tokens, rows * np.float32(4.0))


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_entries_that_are_no_probabilities_are_refused(wrong):
    row_V = np.full(4, 0.25, dtype=np.float32)
    row_V[2] = wrong
    with pytest.raises(ValueError, match="no probabilities"):
        RangeWriter().write(0, row_V)
    with pytest.raises(ValueError, match="no probabilities"):
        RangeReader(bytes(8)).read(row_V)


def test_bytes_that_no_writer_leaves_are_refused():
    with pytest.raises(ValueError, match="5 bytes"):
        RangeReader(bytes(5))
