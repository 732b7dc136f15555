"""The published shuffled sequences: files of one's own, every window once before the files are entered anew."""

import pytest

from pgolf.core.errors import DataError
from tests.loader.orders import LENGTHS, loader, rows, write_shards


@pytest.fixture
def slices(tmp_path):
    return write_shards(tmp_path)


def shard_of(row):
    """By the first token that is not BOS, which is its place in the stream."""
    place, total = max(row[0], row[1] - 1) - 1, 0
    for shard, length in enumerate(LENGTHS):
        total += length
        if place < total:
            return shard
    raise AssertionError


def test_a_rank_reads_every_world_th_file_and_no_other(slices):
    for rank in range(3):
        seen = {
            shard_of(row) for row in rows(loader("shuffled_files", slices, world=3, rank=rank, batch_tokens=96), 40)
        }
        assert seen == {rank, rank + 3, rank + 6}


def test_every_window_comes_once_before_files_are_entered_anew_at_another_phase(slices):
    one = loader("shuffled_files", slices, batch_tokens=8)
    state = one.state()
    windows = sum(one._whole)
    first = [rows(one)[0] for _ in range(windows)]
    assert len({row[0] or row[1] - 1 for row in first}) == windows
    assert one.state()["entered"] == state["entered"]
    assert sum(one.state()["taken"]) == windows
    again = rows(one)[0]
    assert one.state()["entered"] != state["entered"] and sum(one.state()["taken"]) == 1
    assert again[0] > 0 or again[1] > 0


def test_files_are_taken_in_proportion_to_the_windows_left(tmp_path):
    """Of 1,100 windows the smaller file has 100, as of the first 220 about 20."""
    slices = write_shards(tmp_path, [8_001, 801])
    seen = rows(loader("shuffled_files", slices, batch_tokens=8), 220)
    assert 8 < sum(max(row) > 8_001 for row in seen) < 40


def test_the_order_is_of_the_rank_and_not_of_the_run(slices):
    assert rows(loader("shuffled_files", slices), 9) == rows(loader("shuffled_files", slices, seed=77), 9)


def test_more_ranks_than_files_and_files_without_a_window_are_errors(slices):
    with pytest.raises(DataError, match="4 ranks need 4 training shards, one each at least; there are 2"):
        loader("shuffled_files", slices[:2], world=4, batch_tokens=128)
    with pytest.raises(DataError, match=r"no training shard of rank 1 has the 65 tokens .* longest has 61"):
        loader("shuffled_files", slices[1:3], world=2, rank=1, window=64, batch_tokens=128)
