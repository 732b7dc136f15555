"""What holds of every loader: state restores at every position, prefetching changes nothing, ranks share one order."""

import pytest
import torch

from pgolf.core.errors import DataError
from pgolf.loader.prefetch import Prefetch
from tests.loader.orders import OPTIONS, loader, rows, step, write_shards

# As published, what a rank reads depends on how many there are.
DEPENDS_ON_RANKS = {
    "coprime_pr726": "a draw, and the number of shards in it, is a micro-step's",
    "documents_pr1530": "what is left of a shard is a micro-step's",
    "shuffled_files": "ranks have shards of their own",
}


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


def test_what_depends_on_ranks_is_an_option():
    assert set(DEPENDS_ON_RANKS) < set(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_targets_are_the_next_tokens_of_the_stream(option, slices):
    one = loader(option, slices)
    stream = torch.cat([torch.from_numpy(piece.open().astype("int64")) for piece in slices])
    for _ in range(25):
        x_BT, y_BT = one.next_batch()
        assert x_BT.dtype == y_BT.dtype == torch.int64 and x_BT.numel() == y_BT.numel() == 64
        assert torch.equal(x_BT[:, 1:], y_BT[:, :-1])
        for row in torch.cat([x_BT, y_BT[:, -1:]], 1):
            inside = row[row != 0]
            start = int(inside[0]) - 1 - int((row != 0).nonzero()[0])
            places = [(start + offset) % len(stream) for offset in range(len(row))]
            assert torch.equal(row, stream[places])


@pytest.mark.parametrize("option", sorted(set(OPTIONS) - set(DEPENDS_ON_RANKS)))
def test_an_optimizer_step_has_the_same_tokens_for_any_number_of_ranks(option, slices):
    """Over several passes through the data; rank and micro-step change places."""
    alone = step(option, slices, 1, 8, 45)
    for world in (2, 4, 8):
        assert step(option, slices, world, 8 // world, 45) == alone, world


@pytest.mark.parametrize("option", sorted(DEPENDS_ON_RANKS))
def test_as_published_an_optimizer_step_has_not(option, slices):
    assert step(option, slices, 1, 8, 45) != step(option, slices, 8, 1, 45)


@pytest.mark.parametrize("option", ["coprime", "shuffled"])
@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_nor_does_it_hang_on_accumulation(option, accumulation, slices):
    assert step(option, slices, 1, accumulation, 40) == step(option, slices, 1, 8, 40)


@pytest.mark.parametrize("prefetch", [False, True], ids=["plain", "prefetched"])
@pytest.mark.parametrize("option", OPTIONS)
def test_state_restores_exactly_at_every_position(option, prefetch, slices):
    """Through several passes, inside an optimizer step and at its edges, into a loader that was elsewhere."""
    numbers = {"accumulation": 4, "world": 2, "rank": 1}
    batches, states = [], []
    one = loader(option, slices, prefetch=prefetch, **numbers)
    positions = 90 if prefetch else 180
    for _ in range(positions):
        states.append(one.state())
        batches.append(rows(one))
    one.close()
    other = loader(option, slices, prefetch=prefetch, **numbers)
    for position in range(0, positions - 3, 7 if prefetch else 1):
        other.restore(states[position])
        assert other.state() == states[position]
        for ahead in range(position, position + 3):
            assert rows(other) == batches[ahead], (position, ahead)
    other.close()


@pytest.mark.parametrize("option", OPTIONS)
def test_ranks_remember_the_same_but_where_that_is_said(option, slices):
    states = []
    for rank in (0, 1):
        for prefetch in (False, True):
            one = loader(option, slices, prefetch=prefetch, accumulation=4, world=2, rank=rank)
            rows(one, 7)
            states.append((rank, one.by_rank, one.state()))
            one.close()
    ((_, by_rank, first), *others) = states
    assert all(said == by_rank for _, said, _ in others)
    assert all((state == first) == (rank == 0 or not by_rank) for rank, _, state in others)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_first_fifty_batches_are_the_same_with_and_without_prefetching(option, slices):
    plain, ahead = loader(option, slices), loader(option, slices, prefetch=True)
    assert isinstance(ahead, Prefetch)
    for _ in range(50):
        assert rows(plain) == rows(ahead)
        assert plain.state() == ahead.state()
    ahead.close()


@pytest.mark.parametrize("option", OPTIONS)
def test_a_state_survives_json_and_belongs_to_its_shards(option, slices):
    import json

    one = loader(option, slices)
    rows(one, 7)
    state = json.loads(json.dumps(one.state()))
    expected = rows(one, 5)
    one.restore(state)
    assert rows(one, 5) == expected
    with pytest.raises(DataError, match="belongs to"):
        loader(option, slices[:-1]).restore(state)


@pytest.mark.parametrize("option", OPTIONS)
def test_batches_that_do_not_divide_and_too_little_text_are_refused(option, slices):
    with pytest.raises(DataError, match="no multiple of world x accumulation x window"):
        loader(option, slices, world=3)
    with pytest.raises(DataError, match="rank 2"):
        loader(option, slices, world=2, rank=2)
    with pytest.raises(DataError, match="tokens"):
        loader(option, slices[2:3], batch_tokens=128, window=64)
