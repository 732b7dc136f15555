import pytest

from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.blocks import Tape

NODE = {
    "_target_": "pgolf.eval.non_overlapping.NonOverlapping",
    "window": 8,
    "batch_windows": 4,
    "lanes": 1,
    "official_truncation": False,
}


def blocks_of(node, targets):
    plan = make(node).plan(Facts(vocab_size=11, bos_id=1, stream_tokens=targets + 1))
    return [block for blocks in plan.rounds(Tape([1], [targets])) for block in blocks]


def test_windows_lie_side_by_side_and_the_last_is_clipped():
    method = make(NODE)
    assert method.stride == method.window == 8
    blocks = blocks_of(NODE, 19)
    assert [(block.context, block.stop) for block in blocks] == [(0, 8), (8, 16), (16, 19)]
    assert all(block.context == block.start for block in blocks)


@pytest.mark.parametrize("targets", [1, 7, 8, 9, 16, 100])
def test_they_are_the_sliding_windows_with_a_stride_of_a_window(targets):
    sliding = NODE | {"_target_": "pgolf.eval.sliding.Sliding", "stride": 8}
    assert blocks_of(NODE, targets) == blocks_of(sliding, targets)
