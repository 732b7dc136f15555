"""One code length in several units: honest scores agree, and no number of one can be moved alone."""

import math

import numpy as np
import pytest

from pgolf.eval.metric import bits_per_byte
from pgolf.report.agreement import disagreement


def score(side_bits=48.0):
    nll_nats_N, bytes_N = np.random.default_rng(0).random(1000) * 5, np.full(1000, 4)
    return {
        "val_loss": (float(nll_nats_N.sum()) + side_bits * math.log(2)) / 1000,
        "val_bpb": bits_per_byte(nll_nats_N, bytes_N, side_bits),
        "claimed_bpb": bits_per_byte(nll_nats_N, bytes_N),
        "side_bits": side_bits,
        "tokens": 1000,
        "bytes": 4000,
    }


@pytest.mark.parametrize("side_bits", [0.0, 48.0, 1e4])
def test_what_the_one_function_computes_agrees(side_bits):
    assert disagreement(score(side_bits)) == ""


@pytest.mark.parametrize("name", ["val_loss", "val_bpb", "claimed_bpb", "side_bits", "tokens", "bytes"])
def test_no_number_can_be_moved_alone(name):
    honest = score()
    assert disagreement({**honest, name: honest[name] * (1 + 1e-3)})
    assert disagreement({**honest, name: honest[name] * (1 - 1e-3)})


def test_side_bits_cannot_pay_back():
    honest = score(0.0)
    moved = {"side_bits": -40.0, "claimed_bpb": honest["val_bpb"] + 40 / 4000}
    assert "side_bits" in disagreement(honest | moved)


@pytest.mark.parametrize("value", [None, "low", math.nan, 10**400, True])
def test_what_is_no_number_is_for_others_to_name(value):
    assert disagreement(score() | {"val_loss": value}) == ""


def test_numbers_beyond_all_bounds_are_told_and_not_raised():
    assert disagreement(score() | {"val_loss": 1e18, "tokens": 9e18, "bytes": -4000})
