import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.errors import ConfigError
from pgolf.eval.windows import batches, check_lengths, official_length, plan_windows


def whole_plan(positions, window, stride, chunk):
    return [
        w
        for first in range(0, positions, chunk)
        for w in plan_windows(first, min(first + chunk, positions), window, stride)
    ]


def test_worked_example_b():
    windows = plan_windows(0, 15, 8, 3)
    assert [w.start for w in windows] == [0, 3, 6, 9]
    assert [(w.first_scored, w.stop) for w in windows] == [(0, 8), (8, 11), (11, 14), (14, 15)]
    windows = plan_windows(0, 16, 8, 2)
    assert [w.start for w in windows] == [0, 2, 4, 6, 8]
    assert sum(w.keep for w in windows) == 16  # the old rule scores 22


@given(
    stride=st.integers(1, 8),
    per_window=st.integers(1, 6),
    per_chunk=st.integers(0, 9),
    positions=st.integers(1, 400),
)
def test_each_position_once_with_full_context(stride, per_window, per_chunk, positions):
    window = stride * per_window
    chunk = stride * (per_window + per_chunk)
    windows = whole_plan(positions, window, stride, chunk)
    scored = [i for w in windows for i in range(w.first_scored, w.stop)]
    assert scored == list(range(positions))
    assert all(w.length <= window and w.start % stride == 0 for w in windows)
    assert all(w.first_scored - w.start >= window - stride for w in windows[1:])
    assert all(w.start + window - stride < positions or w.start == 0 for w in windows)


@given(
    stride=st.integers(1, 8),
    per_window=st.integers(1, 6),
    per_chunk=st.integers(0, 9),
    positions=st.integers(1, 400),
)
def test_chunks_do_not_change_the_plan(stride, per_window, per_chunk, positions):
    window = stride * per_window
    chunk = stride * (per_window + per_chunk)
    assert whole_plan(positions, window, stride, chunk) == plan_windows(0, positions, window, stride)


def test_batches_hold_windows_of_one_shape():
    windows = plan_windows(0, 15, 8, 3)
    assert [len(batch) for batch in batches(windows, 8)] == [1, 2, 1]
    assert [len(batch) for batch in batches(plan_windows(0, 64, 8, 8), 3)] == [3, 3, 2]
    for batch in batches(windows, 8):
        assert len({(w.length, w.keep) for w in batch}) == 1


@pytest.mark.parametrize(
    ("window", "stride", "chunk", "words"),
    [
        (8, 3, 24, "does not divide"),
        (8, 4, 30, "no multiple"),
        (8, 4, 4, "shorter"),
        (8, 16, 32, "does not divide"),
    ],
)
def test_lengths_that_do_not_fit_are_refused_by_name(window, stride, chunk, words):
    with pytest.raises(ConfigError, match=words):
        check_lengths("eval", window, stride, chunk)


def test_published_truncation():
    assert official_length(16, 8) == 9
    assert official_length(17, 8) == 17
