"""Batches of the training text: as many as asked for, or as there is time for."""

import itertools

import pytest
import torch

from pgolf.config.options import conf_dir
from pgolf.quant.calibration.train import Train
from tests.helpers import ids, tiny_model


def source(batches=3):
    return Train(batches=batches, reserve_seconds=2)


def feed(count=10**6):
    """``count`` different batches, then None for ever."""
    numbers = itertools.count()
    return lambda: ids(seed=n) if (n := next(numbers)) < count else None


def test_it_takes_the_batches_asked_for():
    found = source(3).collect(tiny_model().eval(), feed())
    assert found.tokens == 3 * ids().numel()
    assert found.source == "train" and found.seconds > 0


def test_it_ends_when_the_time_is_up():
    assert source(3).collect(tiny_model().eval(), feed(1)).tokens == ids().numel()


def test_the_same_batches_give_the_same_bits():
    first, second = (source().collect(tiny_model().eval(), feed()).hessians for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_reserves_training_time():
    assert source().reserve_seconds == 2.0
    assert (conf_dir() / "quant/calibration/train.yaml").is_file()


@pytest.mark.parametrize("arch", ["baseline", "mamba_hybrid"])
def test_every_model_will_do(arch):
    source().check(tiny_model(f"arch={arch}"))
