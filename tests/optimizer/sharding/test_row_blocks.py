"""Blocks of rows by themselves, as #1204's ranks do."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.newton_schulz import newton_schulz
from pgolf.optimizer.sharding.base import Bank
from pgolf.optimizer.sharding.row_blocks import RowBlocks
from pgolf.train.replicas import ALONE
from tests.optimizer.sharding import pair


def test_two_processes_train_as_one():
    pair.check_equal_to_one_process("row_blocks")


def test_both_end_with_the_same_bits():
    pair.check_replicas_have_the_same_bits("row_blocks")


def test_what_is_taken_up_goes_on_to_the_same_bits():
    pair.check_taken_up_to_the_bit("row_blocks")


def orthogonalised(bank, members, gradient_PMN):
    return newton_schulz(gradient_PMN, 5, torch.bfloat16)


@pytest.mark.parametrize(
    ("shape", "norm", "whole_norm", "cosine"), [((1536, 512), 36.1, 21.5, 0.89), ((512, 1536), 16.9, None, 0.95)]
)
def test_eight_blocks_have_the_published_norms_and_cosines(shape, norm, whole_norm, cosine):
    matrix = torch.nn.Parameter(torch.zeros(shape))
    matrix.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    bank = Bank((0, matrix.shape), {}, [matrix])
    ((_, (update,)),) = RowBlocks(blocks=8).updates([bank], orthogonalised)
    whole = newton_schulz(matrix.grad[None], 5, torch.bfloat16)[0]
    assert update.norm().item() == pytest.approx(norm, abs=0.3)
    assert whole_norm is None or whole.norm().item() == pytest.approx(whole_norm, abs=0.3)
    assert torch.cosine_similarity(update.flatten(), whole.flatten(), dim=0).item() == pytest.approx(cosine, abs=0.01)


def test_rows_that_do_not_divide_are_padded_with_zeros_that_change_nothing():
    matrix = torch.nn.Parameter(torch.zeros(7, 5))
    matrix.grad = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    ((_, (update,)),) = RowBlocks(blocks=2).updates(
        [Bank((0, matrix.shape), {}, [matrix])], lambda bank, members, g: newton_schulz(g, 5, torch.float32)
    )
    for rows in (slice(0, 4), slice(4, 7)):
        torch.testing.assert_close(update[rows], newton_schulz(matrix.grad[None, rows], 5, torch.float32)[0])


def test_it_is_another_update_than_plain_muons():
    plain, blocks = (pair.alone()[option]["losses"] for option in ("replicated", "row_blocks"))
    assert plain[0] == blocks[0] and plain[-1] != blocks[-1]


def test_blocks_that_processes_cannot_share_are_refused():
    class Three:
        rank, world = 0, 3

    with pytest.raises(ConfigError, match="blocks: 8 is no multiple of 3 processes"):
        RowBlocks(blocks=8).average(Three(), [], [], [], None)
    RowBlocks(blocks=8).average(ALONE, [], [], [], None)


def test_a_run_that_is_killed_goes_on_from_its_checkpoint_to_the_same_bits():
    pair.check_killed_and_taken_up_to_the_bit("row_blocks")
