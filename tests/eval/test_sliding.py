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


def test_any_stride_is_taken_unless_the_network_adapts():
    class Adapting:
        cadence = 6

    class Fixed:
        cadence = None

    method, facts = make(node(stride=3)), Facts(vocab_size=11, bos_id=1, stream_tokens=22)
    fixed = Fixed()
    assert method.network(fixed, facts) is fixed
    with pytest.raises(ConfigError, match=r"eval\.stride: 3 does not divide the window of 8 positions"):
        method.network(Adapting(), facts)
    with pytest.raises(ConfigError, match=r"eval\.stride: 9 is more than the window of 8"):
        make(node(stride=9))
