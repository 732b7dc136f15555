"""The smallest weights are zero before anything else sees them, with any way of rounding."""

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.quant.pruning.base import smallest
from tests.quant.nodes import (
    CONTROL,
    EMBEDDING,
    HALF,
    MATRIX,
    by_name,
    calibration,
    child,
    correlated,
    decoded,
    hessian,
    info,
    make,
    quantizer,
    weights,
)

H = hessian(correlated(32))
HALF_OF_IT = child("pruning", "magnitude", fraction=0.5)


def magnitude(fraction):
    return make(child("pruning", "magnitude", fraction=fraction))


def test_the_smallest_become_zero_and_the_others_stay():
    w = torch.tensor([[1.0, -2, 3, -4, 5], [6, -7, 8, -9, 10]])
    wanted = torch.tensor([[0.0, 0, 0, -4, 5], [6, -7, 8, -9, 10]])  # below 1 + 0.25 * 9 = 3.25
    assert torch.equal(magnitude(0.25).pruned(w, info()), wanted)
    assert w[0, 0] == 1


@pytest.mark.parametrize("spec", [MATRIX, EMBEDDING, CONTROL, HALF], ids=lambda s: s.storage)
def test_matrices_and_tables_are_pruned_and_nothing_that_is_kept(spec):
    w = weights(20, 10)
    assert int((magnitude(0.5).pruned(w, info(spec=spec)) == 0).sum()) == (100 if spec in (MATRIX, EMBEDDING) else 0)


@pytest.mark.parametrize("option", ["int8_rtn", "gptq_lite"])
def test_rounding_sees_the_pruned_weights_scales_too(option):
    w = weights(24, 32)
    pruned = by_name(quantizer(option, pruning=HALF_OF_IT).quantize({"w": w}, {"w": MATRIX}))["w"]
    zeroed = by_name(quantizer(option).quantize({"w": magnitude(0.5).pruned(w, info())}, {"w": MATRIX}))["w"]
    assert all(np.array_equal(pruned.arrays[k], zeroed.arrays[k]) for k in ("q", "scale"))
    assert not pruned.arrays["q"][smallest(w, 0.5).numpy()].any()


def test_before_gptq_feedback_moves_zeros_away_again():
    w = weights(24, 32)
    gptq = quantizer("int6_gptq", pruning=HALF_OF_IT)
    q = by_name(gptq.quantize({"w": w}, {"w": MATRIX}, None, calibration({"w": H})))["w"].arrays["q"]
    moved = q[smallest(w, 0.5).numpy()] != 0
    assert 0.05 < moved.mean() < 0.95


def test_a_correction_is_held_against_the_weights_as_trained():
    w = weights(64, 64)
    coarse = {"bits": 8, "pruning": HALF_OF_IT, "scale": "sdclip"}
    without = quantizer("rtn", **coarse).quantize({"w": w}, {"w": MATRIX})
    corrected = quantizer("rtn", **coarse, correction="lqer").quantize({"w": w}, {"w": MATRIX})
    back = quantizer("rtn", **coarse).dequantize(corrected)["w"]
    assert (w - back).square().sum() < (w - decoded(by_name(without)["w"]).float()).square().sum()


def test_a_fraction_of_nothing_is_no_pruning():
    with pytest.raises(ConfigError, match=r"quant\.pruning\.fraction.*more than 0"):
        from pgolf.config.compose import compose, settings
        from pgolf.run.rules import check

        check(settings(compose(["quant=pr860", "quant.pruning.fraction=0"])))
