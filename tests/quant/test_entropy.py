"""Entropy of codes, and of what is stored."""

import numpy as np
import pytest

from pgolf.core.results import StoredTensor
from pgolf.quant.entropy import FLOAT_BITS, SCALE_BYTES, code_bits, stored_bytes
from tests.quant.nodes import entropy


@pytest.mark.parametrize(("codes", "bits"), [([0, 0, 0, 0], 0), ([1, -1], 2), ([0, 1, 2, 3] * 8, 64), ([], 0)])
def test_bits_of_known_histograms(codes, bits):
    assert code_bits(np.array(codes, dtype=np.int8)) == pytest.approx(bits)


def test_bits_are_length_times_order_0_entropy():
    codes = np.random.default_rng(0).normal(0, 9, (100, 100)).round().astype(np.int8)
    assert code_bits(codes[:, ::2]) == pytest.approx(5000 * entropy(codes[:, ::2]))


def test_gaussian_floats_have_their_sign_mantissa_and_a_few_bits_of_exponent():
    halves = np.random.default_rng(0).normal(0, 0.1, 2_000_000).astype(np.float16)
    assert entropy(halves.view(np.int16)) == pytest.approx(FLOAT_BITS["fp16"], abs=0.1)
    assert FLOAT_BITS["fp32"] - FLOAT_BITS["fp16"] == 13  # of mantissa


def test_scales_of_one_magnitude_have_little_but_their_mantissa():
    rows = np.random.default_rng(0).lognormal(0, 0.2, 2_000_000).astype(np.float16)
    assert entropy(rows.view(np.int16)) / 8 == pytest.approx(SCALE_BYTES, rel=0.05)


def test_stored_bytes_are_the_entropies_of_codes_and_floats():
    grid = {"q": np.tile(np.array([0, 1], np.int8), (4, 8)), "scale": np.ones(4, np.float16)}
    tensors = [
        StoredTensor("a", "mlp", "grid", (4, 16), grid, 5),
        StoredTensor("b", "small", "fp32", (3,), {"values": np.ones(3, np.float32)}),
    ]
    assert stored_bytes(tensors) == pytest.approx(64 / 8 + 4 * SCALE_BYTES + 3 * FLOAT_BITS["fp32"] / 8)
