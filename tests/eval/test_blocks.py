from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.prediction import Span
from pgolf.eval.blocks import Tape, batches, in_lockstep, lane_targets

BLOCKS = st.lists(
    st.builds(
        lambda lane, context, start, keep: Span(lane, context, context + start, context + start + keep),
        st.integers(0, 2),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(1, 2),
    ),
    max_size=30,
)


def test_a_block_has_its_context_and_the_positions_it_predicts():
    block = Span(lane=0, context=3, start=8, stop=11)
    assert (block.length, block.keep, block.shape) == (8, 3, (8, 3))


def test_a_tape_begins_with_each_lanes_first_token_and_knows_no_target():
    tape = Tape([7, 8], [3, 2])
    assert (tape.known(0), tape.known(1)) == (0, 0)
    assert tape.inputs(Span(0, 0, 0, 3)).tolist() == [7, 0, 0]
    assert tape.inputs(Span(1, 0, 0, 2)).tolist() == [8, 0]


def test_a_target_is_the_next_positions_input_once_it_is_revealed_and_zero_before():
    tape = Tape([7, 8], [4, 4])
    tape.append(0, np.array([1, 2]))
    assert (tape.known(0), tape.known(1)) == (2, 0)
    assert tape.inputs(Span(0, 0, 2, 4)).tolist() == [7, 1, 2, 0]
    assert tape.inputs(Span(0, 1, 2, 3)).tolist() == [1, 2]
    assert tape.targets(Span(0, 0, 1, 4)).tolist() == [2, 0, 0]
    tape.append(0, np.array([3, 4]))
    assert tape.targets(Span(0, 0, 0, 4)).tolist() == [1, 2, 3, 4]
    assert tape.inputs(Span(0, 0, 0, 4)).tolist() == [7, 1, 2, 3]
    assert tape.targets(Span(1, 0, 0, 4)).tolist() == [0, 0, 0, 0]


def test_nothing_is_appended_beyond_a_lanes_end():
    tape = Tape([7], [2])
    tape.append(0, np.array([1, 2]))
    tape.append(0, np.array([], dtype=np.int64))
    with pytest.raises(ValueError, match="lane 0 has 2 targets"):
        tape.append(0, np.array([3]))
    assert tape.known(0) == 2


def test_each_lane_needs_a_first_token():
    with pytest.raises(ValueError):
        Tape([7], [2, 2])


@given(BLOCKS, st.integers(1, 5))
def test_batches_keep_all_blocks_in_order_in_one_shape_each_and_are_as_large_as_may_be(blocks, most):
    found = list(batches(blocks, most))
    assert [block for batch in found for block in batch] == blocks
    for batch in found:
        assert len({block.shape for block in batch}) == 1 and len(batch) <= most
    for before, after in pairwise(found):
        assert len(before) == most or before[0].shape != after[0].shape


@given(BLOCKS)
def test_blocks_in_lockstep_have_one_shape_and_lanes_of_their_own(blocks):
    found = list(in_lockstep(blocks))
    assert [block for group in found for block in group] == blocks
    for group in found:
        assert len({block.shape for block in group}) == 1
        assert len({block.lane for block in group}) == len(group)
    for before, after in pairwise(found):
        assert before[0].shape != after[0].shape or after[0].lane in {block.lane for block in before}


def test_a_lane_ends_where_the_next_begins():
    assert lane_targets((0,), 9) == (9,)
    assert lane_targets((0, 4, 5), 9) == (4, 1, 4)
