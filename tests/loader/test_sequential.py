"""The rank-strided stream: exact arithmetic, wrap-around, and state that restores to the token."""

import numpy as np
import pytest
import torch

from pgolf.core.errors import DataError
from pgolf.data.shards import ShardSlice, whole, write_shard
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.sequential import Sequential, build


@pytest.fixture
def slices(tmp_path):
    stream = np.arange(1000)
    for index, part in enumerate((stream[:333], stream[333:334], stream[334:])):
        write_shard(tmp_path / f"fineweb_train_{index:06d}.bin", part)
    return whole(sorted(tmp_path.iterdir()))


def loader(slices, **changed):
    numbers = {"batch_tokens": 64, "window": 8, "accumulation": 1, "rank": 0, "world": 1}
    return Sequential(slices=slices, **(numbers | changed))


def test_batches_are_the_stream_in_windows_and_targets_are_shifted_by_one(slices):
    x_BT, y_BT = loader(slices).next_batch()
    assert x_BT.shape == y_BT.shape == (8, 8) and x_BT.dtype == torch.int64
    assert x_BT.flatten().tolist() == list(range(64)) and y_BT.flatten().tolist() == list(range(1, 65))


def test_each_micro_step_takes_one_extra_token_per_rank(slices):
    one = loader(slices)
    one.next_batch()
    assert one.next_batch()[0][0, 0] == 65
    assert loader(slices, world=2, rank=1).next_batch()[0][0, 0] == 33


def test_ranks_and_micro_steps_together_see_the_same_stream(slices):
    def seen(world, accumulation, steps=3):
        loaders = [loader(slices, rank=rank, world=world, accumulation=accumulation) for rank in range(world)]
        return [
            sorted(tuple(one.next_batch()[0].flatten().tolist()) for _ in range(accumulation) for one in loaders)
            for _ in range(steps)
        ]

    assert seen(4, 1) == seen(2, 2) == seen(1, 4)


def test_stream_crosses_shards_and_wraps_at_its_end(slices):
    one = loader(slices)
    batches = [one.next_batch() for _ in range(40)]
    joined = torch.cat([torch.cat([x.flatten(), y.flatten()[-1:]]) for x, y in batches])
    assert joined.tolist() == [index % 1000 for index in range(40 * 65)]


def test_slices_of_a_file_are_respected(slices):
    part = (ShardSlice(slices[0].path, 100, 200),)
    batches = [loader(part).next_batch()[0] for _ in range(1)]
    assert batches[0].min() == 100 and batches[0].max() < 200


@pytest.mark.parametrize("wrap", [lambda inner: inner, Prefetch])
def test_saved_state_restores_to_the_token(slices, wrap):
    first = wrap(loader(slices))
    for _ in range(17):
        first.next_batch()
    state = first.state()
    expected = [first.next_batch()[0] for _ in range(5)]
    second = wrap(loader(slices))
    second.next_batch()
    second.restore(state)
    assert all(torch.equal(second.next_batch()[0], x_BT) for x_BT in expected)


def test_state_of_another_stream_is_refused(slices):
    state = loader(slices[:1]).state()
    with pytest.raises(DataError, match="belongs to a stream of 333"):
        loader(slices).restore(state)


def test_batch_that_is_no_multiple_short_stream_and_bad_rank_are_errors(slices):
    with pytest.raises(DataError, match="no multiple of world x accumulation x window"):
        loader(slices, world=3)
    with pytest.raises(DataError, match="fewer than one micro-step of 1,025"):
        loader(slices, batch_tokens=1024)
    with pytest.raises(DataError, match="rank 2"):
        loader(slices, world=2, rank=2)


def test_build_prefetches_on_request(slices):
    runtime = {
        "slices": slices,
        "batch_tokens": 64,
        "window": 8,
        "accumulation": 1,
        "rank": 0,
        "world": 1,
        "seed": 0,
        "bos_id": 1,
    }
    assert isinstance(build(prefetch=False, **runtime), Sequential)
    ahead = build(prefetch=True, **runtime)
    assert isinstance(ahead, Prefetch)
    ahead.close()
