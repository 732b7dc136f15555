import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.eval.sliding import Sliding


def node(**changes):
    return {
        "_target_": "pgolf.eval.sliding.Sliding",
        "window": 8,
        "stride": 2,
        "chunk_tokens": 16,
        "batch_windows": 4,
        "official_truncation": False,
    } | changes


def test_first_window_scores_all_later_ones_their_last_stride():
    method = make(node())
    assert isinstance(method, Sliding)
    windows = method.plan(0, 16)
    assert (windows[0].start, windows[0].keep) == (0, 8)
    assert [w.keep for w in windows[1:]] == [2, 2, 2, 2]
    assert method.plan(16, 21)[0].start == 10
    assert method.plan(16, 21)[-1].keep == 1


def test_stride_that_does_not_divide_the_window_is_a_config_error():
    with pytest.raises(ConfigError, match=r"eval\.stride: 3 does not divide the window of 8"):
        make(node(stride=3))
