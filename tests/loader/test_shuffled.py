"""Every window once an epoch, in an order that the seed decides and the number of ranks does not."""

import numpy as np
import pytest
import torch

from pgolf.core.errors import DataError
from pgolf.data.shards import whole, write_shard
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.shuffled import build


@pytest.fixture
def slices(tmp_path):
    stream = np.arange(1000)
    for index, part in enumerate((stream[:333], stream[333:])):
        write_shard(tmp_path / f"fineweb_train_{index:06d}.bin", part)
    return whole(sorted(tmp_path.iterdir()))


def loader(slices, **changed):
    numbers = {
        "prefetch": False,
        "batch_tokens": 64,
        "window": 8,
        "accumulation": 1,
        "rank": 0,
        "world": 1,
        "seed": 3,
        "bos_id": 1,
    }
    return build(slices=slices, **(numbers | changed))


def starts(one, batches):
    return [int(row[0]) for _ in range(batches) for row in one.next_batch()[0]]


def test_targets_are_the_next_tokens(slices):
    x_BT, y_BT = loader(slices).next_batch()
    assert x_BT.shape == (8, 8) and x_BT.dtype == torch.int64
    assert torch.equal(y_BT, x_BT + 1)


def test_an_epoch_visits_every_window_at_most_once_and_drops_only_the_tail(slices):
    seen = starts(loader(slices), 15)
    assert len(set(seen)) == 15 * 8 and all(start % 8 == 0 for start in seen)


def test_epochs_differ_and_so_do_seeds_but_not_repetitions(slices):
    one = loader(slices)
    first, second = starts(one, 15), starts(one, 15)
    assert first != second
    assert starts(loader(slices), 15) == first
    assert starts(loader(slices, seed=4), 15) != first


def test_ranks_and_micro_steps_share_one_step(slices):
    whole_step = sorted(starts(loader(slices), 1))
    for world, accumulation in ((2, 1), (1, 2), (2, 2), (4, 2)):
        parts = [
            starts(loader(slices, world=world, rank=rank, accumulation=accumulation), accumulation)
            for rank in range(world)
        ]
        assert sorted(start for part in parts for start in part) == whole_step


def test_the_position_restores_exactly_through_prefetch(slices):
    one = loader(slices, prefetch=True)
    assert isinstance(one, Prefetch)
    for _ in range(17):
        one.next_batch()
    state = one.state()
    following = one.next_batch()[0]
    other = loader(slices, prefetch=True)
    other.restore(state)
    assert torch.equal(other.next_batch()[0], following)
    one.close()
    other.close()


def test_too_little_text_and_foreign_states_are_refused(slices):
    with pytest.raises(DataError, match="fewer than the 256"):
        loader(slices, batch_tokens=2048)
    with pytest.raises(DataError, match="belongs to a stream"):
        loader(slices).restore({"micro_steps": 1, "total": 7})
