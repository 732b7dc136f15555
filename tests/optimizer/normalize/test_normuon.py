"""Rows are moved equally far over time, the whole matrix as far as before; the longer side is the modded one."""

import pytest
import torch

from pgolf.optimizer.normalize.normuon import NorMuon


def uneven(rows, columns):
    return torch.randn(1, rows, columns) * torch.logspace(-2, 0, rows)[None, :, None]


def test_in_the_first_step_all_rows_become_equal_and_the_norm_stays():
    o_KMN, normalizer = uneven(12, 30), NorMuon(beta2=0.95, of="rows")
    found = normalizer.after(o_KMN, normalizer.new_state(o_KMN))
    torch.testing.assert_close(found.norm(), o_KMN.norm())
    torch.testing.assert_close(found.norm(dim=-1), found.norm(dim=-1).mean().expand(1, 12))


def test_the_running_square_is_an_average_that_begins_at_zero():
    normalizer, o_KMN = NorMuon(beta2=0.9, of="rows"), uneven(5, 8)
    state = normalizer.new_state(o_KMN)
    for _ in range(3):
        normalizer.after(o_KMN, state)
    torch.testing.assert_close(state["second_moment"], (1 - 0.9**3) * o_KMN.square().mean(dim=-1, keepdim=True))


@pytest.mark.parametrize(
    ("of", "shape", "expected"),
    [
        ("rows", (4, 9), (1, 4, 1)),
        ("rows", (9, 4), (1, 9, 1)),
        ("longer_side", (4, 9), (1, 1, 9)),
        ("longer_side", (9, 4), (1, 9, 1)),
        ("longer_side", (6, 6), (1, 6, 1)),
    ],
)
def test_what_has_a_running_square(of, shape, expected):
    normalizer = NorMuon(beta2=0.9, of=of)
    assert normalizer.new_state(torch.zeros(1, *shape))["second_moment"].shape == expected
