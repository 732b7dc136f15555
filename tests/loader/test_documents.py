"""Rows of documents: entered at a BOS, tails dropped, and segments that are the published cumulative lengths."""

import itertools

import numpy as np
import pytest

from pgolf.core.errors import DataError
from pgolf.data.shards import whole, write_shard
from tests.loader.orders import BOS, loader, rows, write_shards


@pytest.fixture
def shards(tmp_path):
    """Two shards whose first BOS are their tokens 5 and 0; other ids count up from 1 and from 1001."""
    first, second = np.arange(1, 201), np.arange(1001, 1151)
    first[[5, 60, 61]] = BOS
    second[[0, 90]] = BOS
    for index, tokens in enumerate((first, second)):
        write_shard(tmp_path / f"fineweb_train_{index:06d}.bin", tokens)
    return whole(sorted(tmp_path.iterdir()))


def test_a_batch_is_one_row_of_all_tokens(shards):
    x_1L, y_1L = loader("documents", shards).next_batch()
    assert x_1L.shape == y_1L.shape == (1, 64)


def test_shards_are_entered_at_their_first_bos_and_lose_a_tail_that_is_too_short(shards):
    one = loader("documents", shards)
    first = [6 + 65 * row for row in range(3)]  # 5 + 3 * 65 = 200: it fits
    second = [1001, 1066]  # from 1002 on; 20 of its 150 tokens are left over
    assert [row[1] - 1 for row in rows(one, 7)] == [*first, *second, *first[:2]]


def test_a_row_may_end_with_the_last_token_of_its_shard(tmp_path):
    tokens = np.arange(2, 132)
    write_shard(tmp_path / "fineweb_train_000000.bin", tokens)
    one = loader("documents", whole([tmp_path / "fineweb_train_000000.bin"]))
    assert [row[0] for row in rows(one, 4)] == [2, 67, 2, 67], "and a shard without a BOS is read from its start"


def test_ranks_and_micro_steps_take_the_pieces_of_one_row(tmp_path):
    slices = write_shards(tmp_path, [600])
    whole_row = rows(loader("documents", slices, batch_tokens=64 * 4), 1)
    assert len(whole_row[0]) == 257
    pieces = [
        rows(loader("documents", slices, batch_tokens=64 * 4, world=2, accumulation=2, rank=rank), 2) for rank in (0, 1)
    ]
    firsts = [max(piece[0], piece[1] - 1) for piece in (pieces[0][0], pieces[1][0], pieces[0][1], pieces[1][1])]
    assert [b - a for a, b in itertools.pairwise(firsts)] == [65, 65, 65]


def test_text_without_a_row_from_a_documents_start_is_refused(shards):
    with pytest.raises(DataError, match=r"has 257 tokens in a row, .* the longest has 200\. Fewer train\.batch_tokens"):
        loader("documents", shards, batch_tokens=256)
