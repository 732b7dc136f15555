"""Uniform random ids: no text, no training time, the same for the same seed."""

import torch

from pgolf.quant.calibration.random_tokens import RandomTokens
from tests.helpers import tiny_model


def refuse():
    raise AssertionError("random tokens read no text")


def collect(**changes):
    numbers = {"sequences": 5, "tokens": 12, "batch": 2, "seed": 0}
    return RandomTokens(**(numbers | changes)).collect(tiny_model().eval(), refuse)


def test_it_reads_no_text_and_takes_no_training_time():
    assert RandomTokens.reserve_seconds == 0
    assert collect().source == "random_tokens"


def test_tokens_are_counted():
    assert collect().tokens == 5 * 12


def test_a_seed_fixes_every_bit_and_another_seed_none():
    first, second, other = (collect(seed=seed).hessians["embedding"] for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.allclose(first, other)


def test_the_batch_changes_nothing_but_rounding():
    one, five = (collect(batch=batch).hessians for batch in (1, 5))
    for name in one:
        torch.testing.assert_close(one[name], five[name], rtol=1e-4, atol=1e-4)
