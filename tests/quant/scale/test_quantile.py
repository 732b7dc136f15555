"""What the percentile scales answer alike: floor, law, and a forecast for steps that do not follow the weights."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.quant.forecast import EXPECTED_RMS, LARGEST_LIES_FURTHER_OUT
from tests.quant.nodes import EMBEDDING, MATRIX, child, entropy, info, quantizer, scale

FLOORED = [
    ("percentile", {"floor": "legacy"}),
    ("percentiles_legacy", {}),
    ("tensor_percentiles_legacy", {}),
    ("tensor_percentiles_pr187", {}),
]


@pytest.mark.parametrize("option", ["percentile", "percentiles", "tensor_percentiles"])
def test_steps_that_are_a_share_of_the_row_follow_the_law(option):
    assert scale(option).follows_law and scale(option).trained_bits == LARGEST_LIES_FURTHER_OUT


@pytest.mark.parametrize("option", ["percentile", "percentiles", "tensor_percentiles"])
def test_a_size_cannot_be_hit_and_the_option_is_named_as_it_is_typed(option):
    with pytest.raises(ConfigError, match=rf"quant\.target_bytes: .* quant/scale={option} has none"):
        scale(option).times(2.0)


@pytest.mark.parametrize(("option", "changes"), FLOORED)
def test_under_the_legacy_floor_they_do_not(option, changes):
    floored = scale(option, **changes)
    assert not floored.follows_law and floored.trained_bits == 0.0


@pytest.mark.parametrize(("option", "changes"), FLOORED)
@pytest.mark.parametrize(("spec", "bits"), [(MATRIX, 5), (MATRIX, 6), (EMBEDDING, 8)])
def test_gaussian_weights_of_the_expected_size_have_the_entropy_that_is_forecast(option, changes, spec, bits):
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(1024, 256, generator=generator) * EXPECTED_RMS[spec.storage]
    rtn = quantizer("rtn", bits=bits, embedding_bits=bits, scale=child("scale", option, **changes))
    (stored,) = rtn.quantize({"w": w}, {"w": spec}).tensors
    forecast = rtn.pipeline.scale.forecast_bits(bits, 256, info(spec=spec))
    assert forecast == pytest.approx(entropy(stored.arrays["q"]), rel=0.02)


def test_where_a_row_is_expected_to_reach_beyond_1_the_floor_does_nothing(monkeypatch):
    monkeypatch.setattr("pgolf.quant.scale.quantile.expected_rms", lambda storage: 0.5)
    law = scale("percentile").forecast_bits(6, 512, info())
    assert scale("percentile", floor="legacy").forecast_bits(6, 512, info()) == law
