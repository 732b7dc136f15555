import pytest
import torch

from pgolf.artifact.container import bytes_by_role, encode
from pgolf.compressor.brotli import Brotli
from pgolf.core.results import ParamSpec
from pgolf.quant.errors import NonFiniteWeight
from pgolf.quant.none import NoQuantizer

ROLES = ("matrix", "embedding", "keep_fp32", "keep_fp16")


def test_every_role_comes_back_bit_for_bit():
    state = {role: torch.randn(5, 7) * 1e-3 for role in ROLES}
    specs = {role: ParamSpec("matrix", role, "part") for role in ROLES}
    quantized = NoQuantizer().quantize(state, specs)
    assert {tensor.scheme for tensor in quantized.tensors} == {"fp32"}
    back = NoQuantizer().dequantize(quantized)
    assert all(torch.equal(back[role], state[role]) for role in ROLES)


def test_result_does_not_follow_later_changes_of_the_weights():
    state = {"w": torch.ones(3)}
    quantized = NoQuantizer().quantize(state, {"w": ParamSpec("scalar", "keep_fp32", "x")})
    state["w"].zero_()
    assert NoQuantizer().dequantize(quantized)["w"].tolist() == [1, 1, 1]


def test_an_artifact_has_the_bytes_that_are_forecast():
    weight, spec = torch.randn(200, 100, generator=torch.Generator().manual_seed(0)), ParamSpec("matrix", "matrix", "w")
    packed = encode({}, NoQuantizer().quantize({"w": weight}, {"w": spec}), b"", Brotli(quality=11, lgwin=24))
    sizes = bytes_by_role(packed)
    measured = sum(sizes.values()) - sizes["header"]
    assert NoQuantizer().forecast_bytes(spec, weight.shape, "w") == pytest.approx(measured, rel=0.03)


def test_empty_state_is_an_empty_state():
    assert NoQuantizer().dequantize(NoQuantizer().quantize({}, {})) == {}


def test_non_finite_weight_is_refused():
    with pytest.raises(NonFiniteWeight, match="'w'"):
        NoQuantizer().quantize({"w": torch.tensor([float("nan")])}, {"w": ParamSpec("scalar", "keep_fp32", "x")})
