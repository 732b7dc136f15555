import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pgolf.eval.metric import bits_per_byte
from tests.helpers import ids, randomise, tiny_model


def test_published_loss_and_bytes_per_token_give_the_published_score():
    # Worked example C: val_loss 1.87037189 with 2.435924 bytes per token (PR #1204, seed 42).
    tokens, bytes_per_token = 1_000_000, 2.435924
    nll_nats = np.full(tokens, 1.87037189)
    lengths = np.full(tokens, 2, dtype=np.int64)
    lengths[: round(tokens * (bytes_per_token - 2))] += 1
    assert bits_per_byte(nll_nats, lengths) == pytest.approx(1.107743, abs=1e-6)


def test_ratio_of_sums_not_mean_of_ratios():
    # Worked example F: batches of (10 bits, 4 bytes) and (10 bits, 16 bytes).
    nll_nats, lengths = np.array([10 * math.log(2)] * 2), np.array([4, 16])
    assert bits_per_byte(nll_nats, lengths) == pytest.approx(1.0)
    each = [bits_per_byte(nll_nats[i : i + 1], lengths[i : i + 1]) for i in range(2)]
    assert np.mean(each) == pytest.approx(1.5625)  # the wrong value


def test_auxiliary_training_losses_stay_out_of_the_evaluation_loss():
    model = tiny_model("arch/addon=[routing_head]")
    randomise(model)
    x, y = ids(2, 24, vocab_size=6), ids(2, 24, seed=1, vocab_size=6)
    plain = F.cross_entropy(model.eval().logits(x).flatten(0, 1), y.flatten())
    torch.testing.assert_close(model.loss(x, y), plain)
    assert (model.train().loss(x, y) - plain).abs() > 0.01  # in training the term is there


def test_small_integer_types_do_not_overflow():
    lengths = np.full(100_000, 3, dtype=np.int16)
    assert bits_per_byte(np.full(100_000, math.log(2)), lengths) == pytest.approx(1 / 3)
    assert bits_per_byte(np.full(1000, math.log(2)), np.full(1000, 200, dtype=np.uint8)) == pytest.approx(1 / 200)


def test_float32_scores_are_summed_in_float64():
    nll_nats = np.full(2**25, 0.1, dtype=np.float32)
    lengths = np.ones(2**25, dtype=np.int8)
    assert bits_per_byte(nll_nats, lengths) == pytest.approx(float(np.float32(0.1)) / math.log(2), rel=1e-12)


def test_side_bits_are_added_to_the_sum_before_the_division():
    nll_nats, lengths = np.array([10 * math.log(2)] * 2), np.array([4, 16])
    assert bits_per_byte(nll_nats, lengths, side_bits=20.0) == pytest.approx(2.0)
    assert bits_per_byte(nll_nats, lengths, side_bits=0.0) == bits_per_byte(nll_nats, lengths)


def test_uniform_model_of_worked_example_a():
    # Σ bytes 14 over 8 targets, uniform over 16 ids.
    lengths = np.array([3, 1, 3, 0, 3, 1, 1, 2])
    assert bits_per_byte(np.full(8, math.log(16)), lengths) == pytest.approx(2.285714, abs=1e-6)


@pytest.mark.parametrize(
    ("nll_nats", "lengths", "words"),
    [
        ([1.0, np.nan], [1, 1], "position 1 has no finite score"),
        ([1.0, np.inf], [1, 1], "position 1 has no finite score"),
        ([1.0], [1, 1], "1 scores for 2 byte counts"),
        ([1.0, 1.0], [1, -1], "negative"),
        ([1.0], [1.5], "integers"),
        ([1.0], [0], "no bytes"),
    ],
)
def test_what_cannot_be_a_score_is_refused(nll_nats, lengths, words):
    with pytest.raises(ValueError, match=words):
        bits_per_byte(np.array(nll_nats), np.array(lengths))
