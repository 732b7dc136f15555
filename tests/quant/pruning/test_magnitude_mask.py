"""Codes of the smallest weights are zero in the end, and the scales are those of the whole matrix."""

import numpy as np
import pytest

from pgolf.quant.pruning.base import smallest
from tests.quant.nodes import (
    EMBEDDING,
    MATRIX,
    by_name,
    calibration,
    child,
    correlated,
    decoded,
    hessian,
    quantizer,
    weights,
)

X = correlated(32)
MEASURED = calibration({"w": hessian(X)})


def mask(fraction):
    return child("pruning", "magnitude_mask", fraction=fraction)


def stored(option, w, spec=MATRIX, **changes):
    return by_name(quantizer(option, **changes).quantize({"w": w}, {"w": spec}, None, MEASURED))["w"]


@pytest.mark.parametrize("option", ["int6_rtn", "gptq_lite", "int6_gptq", "sdclip_gptq"])
def test_the_smallest_stay_zero_whatever_rounds(option):
    w = weights(48, 32)
    found = stored(option, w, pruning=mask(0.4))
    assert not found.arrays["q"][smallest(w, 0.4).numpy()].any()
    assert not np.array_equal(found.arrays["q"], stored(option, w).arrays["q"])


def test_scales_are_those_of_the_unpruned_matrix():
    w = weights(48, 32)
    assert np.array_equal(
        stored("sdclip_gptq", w, pruning=mask(0.4)).arrays["scale"], stored("sdclip_gptq", w).arrays["scale"]
    )


def test_gptq_makes_up_for_the_zeros():
    w = weights(48, 32)
    inside = stored("sdclip_gptq", w, bits=8, pruning=mask(0.4))
    after = decoded(stored("sdclip_gptq", w, bits=8)).masked_fill(smallest(w, 0.4), 0)

    def output_error(values):
        return float((X @ (w.double() - values).T).square().sum())

    assert output_error(decoded(inside)) < 0.7 * output_error(after)


def test_the_embedding_is_left_alone():
    w = weights(48, 32)
    assert np.array_equal(
        stored("int6_gptq", w, EMBEDDING, pruning=mask(0.5)).arrays["q"],
        stored("int6_gptq", w, EMBEDDING).arrays["q"],
    )
