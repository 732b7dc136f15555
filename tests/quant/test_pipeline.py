"""What the quantizers onto the row-wise grid share."""

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.results import ParamSpec
from pgolf.quant.entropy import stored_bytes
from tests.quant.nodes import (
    EMBEDDING,
    MATRIX,
    by_name,
    calibration,
    child,
    correlated,
    hessian,
    quantizer,
    weights,
)

GATE = ParamSpec("scalar", "keep_fp16", "attention_gate")


def test_a_gate_matrix_in_int8_reaches_its_row_maximum_whatever_the_scale():
    w = weights(4, 12)
    rtn = quantizer("rtn", scale="sdclip", policy="gate8")
    (stored,) = rtn.quantize({"g": w}, {"g": GATE}).tensors
    assert (stored.scheme, stored.bits, stored.role) == ("grid", 8, "attention_gate")
    assert np.abs(stored.arrays["q"]).max(axis=1).tolist() == [127] * 4
    assert rtn.dequantize(rtn.quantize({"g": w}, {"g": GATE}))["g"].shape == w.shape


@pytest.mark.parametrize("scale", ["percentile", "sdclip", "percentiles_legacy"])
def test_a_gate_matrix_is_foretold_at_its_row_maximum_whatever_the_scale(scale):
    w = weights(64, 96)
    rtn = quantizer("rtn", scale=scale, policy="gate8")
    forecast = rtn.forecast_model({"g": GATE}, {"g": tuple(w.shape)})
    assert forecast["g"] == pytest.approx(stored_bytes(rtn.quantize({"g": w}, {"g": GATE}).tensors), rel=0.02)


def test_a_gate_matrix_needs_no_hessian():
    gptq = quantizer("gptq", policy="gate8")
    state, specs = {"g": weights(4, 12), "w": weights(8, 12)}, {"g": GATE, "w": MATRIX}
    found = by_name(gptq.quantize(state, specs, None, calibration({"w": hessian(correlated(12))})))
    assert found["g"].bits == 8


def test_a_table_that_passes_keeps_its_role():
    rtn = quantizer("rtn", policy=child("policy", "by_role", embedding="fp16"))
    (stored,) = rtn.quantize({"embedding": weights(6, 4)}, {"embedding": EMBEDDING}).tensors
    assert (stored.scheme, stored.role) == ("fp16", "embedding")


def test_a_correction_gets_weights_and_hessians_and_has_the_last_word():
    seen = {}

    class Spy:
        needs_hessians = False

        def correct(self, given, state, hessians):
            seen.update(weights=given, hessians=hessians)
            return "corrected"

    gptq, h, w = quantizer("gptq"), hessian(correlated(8)), weights(4, 8)
    gptq.pipeline.correction = Spy()
    assert gptq.quantize({"w": w}, {"w": MATRIX}, None, calibration({"w": h})) == "corrected"
    assert torch.equal(seen["weights"]["w"], w) and seen["hessians"]["w"] is h


def test_a_correction_gives_no_pruned_weight_back():
    seen = {}

    class Spy:
        def correct(self, given, state, hessians):
            seen.update(given)
            return state

    rtn, w = quantizer("rtn", bits=4, pruning=child("pruning", "magnitude", fraction=0.3)), weights(16, 24)
    rtn.pipeline.correction = Spy()
    back = rtn.dequantize(rtn.quantize({"w": w}, {"w": MATRIX}))["w"]
    zeros = w.abs() < w.abs().flatten().quantile(0.3)
    assert torch.equal(seen["w"], w.masked_fill(zeros, 0)) and zeros.any()
    assert not (seen["w"] - back)[zeros].any()


def test_every_child_that_needs_hessians_is_refused_at_once():
    with pytest.raises(ConfigError) as caught:
        quantizer("rtn", bits=5, scale="hessian_sdclip", policy="error_per_byte", correction="lqer_weighted")
    assert len(caught.value.problems) == 3


def test_times_leaves_the_original_quantizer():
    rtn = quantizer("rtn", scale="sdclip")
    doubled = rtn.times(2.0)
    assert (rtn.smallest_k, doubled.smallest_k) == (12.85, 25.7)


@pytest.mark.parametrize("option", ["gptq_lite", "int6_gptq"])
def test_the_estimate_is_near_what_is_stored(option):
    state, specs = {"w": weights(300, 96), "e": weights(100, 96)}, {"w": MATRIX, "e": EMBEDDING}
    measured = calibration(dict.fromkeys(state, hessian(correlated(96))), lookups=["e"])
    chosen = quantizer(option, scale="sdclip")
    exact = stored_bytes(chosen.quantize(state, specs, None, measured).tensors)
    assert chosen.estimate_bytes(state, specs, None, measured) == pytest.approx(exact, rel=0.01)
