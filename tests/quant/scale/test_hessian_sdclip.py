"""SDClip, wider for the rows that weigh on large inputs."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from tests.quant.nodes import correlated, hessian, info, quantizer, scale, weights

W = weights(32, 24)
H = hessian(correlated(24))


def candidates(option, h=H, **changes):
    (found,) = scale(option, **changes).candidates(W, 6, info(), h)
    return found


def test_strength_zero_is_sdclip():
    assert torch.equal(candidates("hessian_sdclip", strength=0.0), candidates("sdclip"))


def test_a_table_without_hessian_gets_sdclip():
    assert torch.equal(candidates("hessian_sdclip", h=None), candidates("sdclip"))


def test_rows_are_weighed_by_their_weights_on_large_inputs():
    ratio = candidates("hessian_sdclip", strength=1.0).double() / candidates("sdclip").double()
    weighed = (W.abs() * H.diagonal()).mean(dim=1).double()
    torch.testing.assert_close(ratio, weighed / weighed.mean(), rtol=3e-3, atol=0)


def test_the_mean_factor_is_one_at_any_strength():
    ratio = candidates("hessian_sdclip", strength=0.175).double() / candidates("sdclip").double()
    assert float(ratio.mean()) == pytest.approx(1.0, abs=1e-3) and float(ratio.std()) > 0.01


def test_inputs_that_were_always_zero_change_nothing():
    assert torch.equal(candidates("hessian_sdclip", h=torch.zeros(24, 24)), candidates("sdclip"))


def test_rounding_to_nearest_has_no_hessians_to_offer():
    with pytest.raises(ConfigError, match=r"quant/scale: HessianSDClip.*quant=gptq"):
        quantizer("rtn", scale="hessian_sdclip")
