import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.errors import ConfigError
from pgolf.eval.blocks import Tape, lane_targets
from pgolf.eval.windows import BATCHES, WindowPlan, check_lengths, official_length, windows

# Strides that divide the window and others; ``more``: how much longer the window is.
LENGTHS = {"stride": st.integers(1, 8), "more": st.integers(0, 40), "targets": st.integers(1, 400)}


def published(targets, window, stride):
    """(start, stop, kept) of the rule's windows as its formula has them: w = 0, S, 2S, … while w + L - S < T'."""
    starts = [w for w in range(0, targets + window, stride) if w == 0 or w + window - stride < targets]
    stops = [min(start + window, targets) for start in starts]
    return [
        (start, stop, stop if start == 0 else stop - start - (window - stride))
        for start, stop in zip(starts, stops, strict=True)
    ]


def test_worked_example_b():
    found = list(windows(15, 8, 3))
    assert [(block.context, block.start, block.stop) for block in found] == [
        (0, 0, 8),
        (3, 8, 11),
        (6, 11, 14),
        (9, 14, 15),
    ]
    found = list(windows(16, 8, 2))
    assert [block.context for block in found] == [0, 2, 4, 6, 8]
    assert sum(block.keep for block in found) == 16  # the old rule scores 22


@given(**LENGTHS)
def test_each_position_is_predicted_once_in_order_with_its_context(stride, more, targets):
    window = stride + more
    found = list(windows(targets, window, stride))
    assert [i for block in found for i in range(block.start, block.stop)] == list(range(targets))
    assert all(block.lane == 0 and block.length <= window and block.context % stride == 0 for block in found)
    assert all(block.start - block.context == window - stride for block in found[1:])
    assert (found[0].context, found[0].start, found[0].stop) == (0, 0, min(window, targets))
    assert all(block.keep == stride for block in found[1:-1])


@given(**LENGTHS)
def test_the_windows_are_those_of_the_published_formula(stride, more, targets):
    window = stride + more
    found = [(block.context, block.stop, block.keep) for block in windows(targets, window, stride)]
    assert found == published(targets, window, stride)


@given(batch_blocks=st.integers(1, 5), **LENGTHS)
def test_rounds_hold_the_windows_in_order_and_no_more_than_some_batches(batch_blocks, stride, more, targets):
    plan = WindowPlan(stride + more, stride, batch_blocks, targets)
    found = [list(blocks) for blocks in plan.rounds(Tape([0], [targets]))]
    assert [block for blocks in found for block in blocks] == list(windows(targets, stride + more, stride))
    assert all(0 < len(blocks) <= BATCHES * batch_blocks for blocks in found)
    assert (plan.lane_starts, plan.side_bits) == ((0,), 0.0)


def test_a_stride_beyond_the_window_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"eval\.stride: 16 is more than the window of 8 positions"):
        check_lengths("eval", 8, 16)


@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 1), (8, 3), (1, 1)])
def test_any_other_is_taken(window, stride):
    check_lengths("eval", window, stride)


@given(tokens=st.integers(1, 500), window=st.integers(1, 64))
def test_the_published_truncation_leaves_whole_windows_of_targets(tokens, window):
    left = official_length(tokens, window)
    assert (left - 1) % window == 0 and left <= tokens < left + window


def test_published_truncation():
    assert official_length(16, 8) == 9
    assert official_length(17, 8) == 17


@pytest.mark.parametrize(("targets", "lanes"), [(100, 1), (100, 3), (97, 8), (5, 8), (1, 4)])
def test_lanes_share_the_stream_evenly_and_every_place_is_in_one_block(targets, lanes):
    plan = WindowPlan(8, 4, 2, targets, lanes)
    starts = plan.lane_starts
    sizes = lane_targets(starts, targets)
    assert len(starts) == min(lanes, targets) and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert plan.side_bits == 16 * (len(starts) - 1)
    places, known = [], [0] * len(starts)
    for blocks in plan.rounds(Tape([1] * len(starts), sizes)):
        for block in blocks:
            assert block.start == known[block.lane]  # those of a lane follow each other
            known[block.lane] = block.stop
            places += [starts[block.lane] + place for place in range(block.start, block.stop)]
    assert sorted(places) == list(range(targets))
