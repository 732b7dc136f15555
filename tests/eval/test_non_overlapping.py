from pgolf.core.make import make

NODE = {
    "_target_": "pgolf.eval.non_overlapping.NonOverlapping",
    "window": 8,
    "chunk_tokens": 16,
    "batch_windows": 4,
    "official_truncation": False,
}


def test_windows_lie_side_by_side_and_the_last_is_clipped():
    method = make(NODE)
    assert method.stride == method.window == 8
    windows = [w for first in (0, 16) for w in method.plan(first, min(first + 16, 19))]
    assert [(w.start, w.stop) for w in windows] == [(0, 8), (8, 16), (16, 19)]
    assert all(w.start == w.first_scored for w in windows)
