import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.blocks import Tape
from pgolf.eval.sliding import Sliding


def node(**changes):
    return {
        "_target_": "pgolf.eval.sliding.Sliding",
        "window": 8,
        "stride": 2,
        "batch_windows": 4,
        "lanes": 1,
        "official_truncation": False,
    } | changes


def test_first_window_scores_all_later_ones_their_last_stride():
    method = make(node())
    assert isinstance(method, Sliding)
    plan = method.plan(Facts(vocab_size=11, bos_id=1, stream_tokens=22))
    blocks = [block for blocks in plan.rounds(Tape([1], [21])) for block in blocks]
    assert (blocks[0].context, blocks[0].keep) == (0, 8)
    assert [block.keep for block in blocks[1:]] == [2, 2, 2, 2, 2, 2, 1]
    assert all(block.start - block.context == 6 for block in blocks[1:])
    assert plan.batch_blocks == 4


def test_stride_that_does_not_divide_the_window_is_a_config_error():
    with pytest.raises(ConfigError, match=r"eval\.stride: 3 does not divide the window of 8"):
        make(node(stride=3))
