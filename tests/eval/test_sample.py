import numpy as np
import pytest

from pgolf.eval.sample import evenly_spread


@pytest.mark.parametrize(("length", "tokens"), [(1000, 200), (4096, 512), (999, 100)])
def test_whole_windows_are_taken_from_all_over_the_stream(length, tokens):
    positions = evenly_spread(np.zeros(length), tokens, 16)
    assert len(positions) == tokens // 16 * 16
    blocks = positions.reshape(-1, 16)
    assert (np.diff(blocks, axis=1) == 1).all() and (blocks[:, 0] % 16 == 0).all()
    assert len(set(positions.tolist())) == len(positions) and positions.max() < length
    assert blocks[0, 0] == 0 and blocks[-1, 0] >= length * (1 - 2 * 16 / tokens) - 16


def test_a_short_stream_is_taken_whole():
    assert evenly_spread(np.zeros(30), 64, 16).tolist() == list(range(30))
