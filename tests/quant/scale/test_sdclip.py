"""k standard deviations end the grid of a row; k is what sets the bytes."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from tests.quant.nodes import (
    ATTENTION,
    CONTROL,
    EMBEDDING,
    MATRIX,
    child,
    entropy,
    info,
    quantizer,
    scale,
    weights,
)

# Spec quant §4: exact entropies of a Gaussian.
GAUSSIAN = [(6, 10, 3.686), (6, 11.5, 3.486), (6, 12, 3.425), (6, 12.85, 3.328), (6, 13, 3.311)]
GAUSSIAN += [(7, 14, 4.220), (7, 15, 4.121), (8, 20, 4.715)]


def sdclip(k=12.85, **changes):
    return scale("sdclip", k=k, **changes)


def stored_codes(k, bits=6):
    w = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    rtn = quantizer("rtn", bits=bits, scale=child("scale", "sdclip", k=k))
    (stored,) = rtn.quantize({"w": w}, {"w": MATRIX}).tensors
    return stored.arrays["q"]


def test_the_clip_is_k_unbiased_deviations_of_the_row():
    w = weights(8, 50) * torch.arange(1.0, 9.0)[:, None]
    (scale_R,) = sdclip(k=10.0).candidates(w, 6, info(), None)
    assert torch.equal(scale_R, (10.0 * w.std(dim=1, unbiased=True) / 31).half())


@pytest.mark.parametrize(("bits", "k", "expected"), GAUSSIAN)
def test_the_forecast_has_the_published_entropies(bits, k, expected):
    assert sdclip(k=float(k)).forecast_bits(bits, 512, info()) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("bits", "k"), [(4, 13.0), (5, 12.85), (6, 12.85), (8, 20.0), (3, 13.0)])
def test_the_entropy_of_gaussian_weights_is_within_three_percent_of_the_forecast(bits, k):
    forecast = sdclip(k=k).forecast_bits(bits, 512, info())
    assert entropy(stored_codes(k, bits)) == pytest.approx(forecast, rel=0.02)


def test_size_falls_strictly_with_k():
    sizes = [entropy(stored_codes(k)) for k in (6.0, 6.1, 8.0, 12.0, 12.1, 24.0, 48.0)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)


def test_k_goes_by_role_and_component():
    by_role = scale("sdclip_pr1855")
    assert by_role.k_of(info(spec=MATRIX)) == 11.5
    assert by_role.k_of(info(spec=ATTENTION)) == 13.0
    assert by_role.k_of(info(spec=EMBEDDING)) == 14.0
    assert sdclip().k_of(info(spec=MATRIX)) == 12.85


def test_times_multiplies_every_k_and_leaves_the_original():
    original = scale("sdclip_pr1855")
    doubled = original.times(2.0)
    assert [doubled.k_of(info(spec=s)) for s in (MATRIX, ATTENTION, EMBEDDING)] == [23.0, 26.0, 28.0]
    assert original.k_of(info(spec=MATRIX)) == 11.5
    assert (original.smallest_k, doubled.smallest_k) == (11.5, 23.0)


def test_a_row_of_zeros_gets_the_floor_and_zero_codes():
    w = torch.stack([torch.zeros(8), torch.ones(8) * 0.25, torch.randn(8)])
    (stored,) = quantizer("rtn", scale="sdclip").quantize({"w": w}, {"w": MATRIX}).tensors
    assert stored.arrays["scale"][0] == 2.0**-14 and not stored.arrays["q"][0].any()


def test_a_constant_row_is_stored_by_its_maximum():
    rtn = quantizer("rtn", scale="sdclip")
    for w in (torch.full((1, 8), 0.25), torch.full((3, 1), -0.25)):
        back = rtn.dequantize(rtn.quantize({"w": w}, {"w": MATRIX}))["w"]
        torch.testing.assert_close(back, w, rtol=0.1, atol=0)


@pytest.mark.parametrize("k", [0.0, -1.0, "13", True])
def test_k_of_a_component_must_be_positive(k):
    with pytest.raises(ConfigError, match=r"quant\.scale\.component_k\.mlp"):
        sdclip(component_k={"mlp": k})


def test_a_component_that_the_model_does_not_have_is_named():
    rtn = quantizer("rtn", scale="sdclip_pr1855")
    with pytest.raises(ConfigError, match=r"component_k\.attention.*there are mlp"):
        rtn.quantize({"w": torch.ones(2, 2), "c": torch.ones(2)}, {"w": MATRIX, "c": CONTROL})
