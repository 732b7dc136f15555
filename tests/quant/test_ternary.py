import math

import pytest
import torch

from pgolf.core.results import ParamSpec
from pgolf.quant.entropy import FLOAT_BITS, SCALE_BYTES
from pgolf.quant.errors import NonFiniteWeight
from pgolf.quant.forecast import ternary_bits
from pgolf.quant.schemes import problem_of
from pgolf.quant.ternary import Ternary
from tests.quant.nodes import child, quantizer

MATRIX = ParamSpec("matrix", "matrix", "mlp")
EMBEDDING = ParamSpec("embedding", "embedding", "embedding")
CONTROL = ParamSpec("scalar", "keep_fp32", "scale")
HALF = ParamSpec("scalar", "keep_fp16", "gate")


def ternary(group=128, threshold=0.5, scale="mean", embedding_bits=8, keep="by_role"):
    return Ternary(group=group, threshold=threshold, scale=scale, embedding_bits=embedding_bits, keep=keep)


def gaussian(*shape, seed=0):
    return 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one(quantizer, weight):
    (tensor,) = quantizer.quantize({"w": weight}, {"w": MATRIX}).tensors
    assert problem_of(tensor) is None
    return tensor


def decoded(quantizer, weight):
    return quantizer.dequantize(quantizer.quantize({"w": weight}, {"w": MATRIX}))["w"]


def test_storage_role_alone_decides_what_is_ternary():
    state = {"w": gaussian(4, 4), "e": gaussian(9, 4), "c": gaussian(300, 3), "h": gaussian(3)}
    specs = {"w": MATRIX, "e": EMBEDDING, "c": CONTROL, "h": HALF}
    stored = {t.name: (t.scheme, t.bits) for t in ternary(embedding_bits=6).quantize(state, specs).tensors}
    assert stored == {"w": ("ternary128", 0), "e": ("grid", 6), "c": ("fp32", 0), "h": ("fp16", 0)}


def test_kept_tensors_and_the_keep_setting_are_those_of_rtn():
    state, specs = {"c": gaussian(5), "h": gaussian(5)}, {"c": CONTROL, "h": HALF}
    back = ternary().dequantize(ternary().quantize(state, specs))
    assert torch.equal(back["c"], state["c"]) and torch.equal(back["h"], state["h"].half().float())
    assert {t.scheme for t in ternary(keep="fp16").quantize(state, specs).tensors} == {"fp16"}


@pytest.mark.parametrize("scale", ["mean", "least_squares"])
@pytest.mark.parametrize("shape", [(7, 37), (16, 16), (300,), (), (0, 3), (2, 3, 64)], ids=str)
def test_quantizing_the_result_again_changes_nothing(shape, scale):
    quantizer = ternary(group=64, scale=scale)
    once = decoded(quantizer, gaussian(*shape))
    twice = decoded(quantizer, once)
    assert once.shape == shape
    assert torch.equal(once.sign(), twice.sign())
    torch.testing.assert_close(twice, once, rtol=2e-3, atol=0)


def test_published_codes_are_weights_over_the_mean_rounded():
    w = gaussian(8, 128)
    q = torch.from_numpy(one(ternary(), w).arrays["q"]).float()
    mean = w.abs().mean(dim=1, keepdim=True)
    differ = q != (w / mean).round().clamp(-1, 1)
    assert bool(((w[differ].abs() / mean.expand_as(w)[differ] - 0.5).abs() < 1e-3).all())


def test_no_other_level_has_a_smaller_error_than_least_squares():
    w = gaussian(6, 128)
    for threshold in (0.3, 0.5, 0.9):
        back = decoded(ternary(scale="least_squares", threshold=threshold), w)
        error = (back - w).square().sum()
        for factor in (0.98, 1.02):
            assert error < (factor * back - w).square().sum()
        assert error <= (decoded(ternary(threshold=threshold), w) - w).square().sum()


@pytest.mark.parametrize(
    ("scale", "threshold", "expected"),
    [("mean", 0.5, 0.219), ("least_squares", 0.5, 0.213), ("least_squares", 0.7, 0.192)],
)
def test_gaussian_error_is_what_the_header_says(scale, threshold, expected):
    w = gaussian(512, 512)
    error = (decoded(ternary(scale=scale, threshold=threshold), w) - w).square().mean() / w.square().mean()
    assert error.item() == pytest.approx(expected, abs=0.003)


def entropy_bits(values):
    _, counts = values.unique(return_counts=True)
    shares = counts.double() / counts.sum()
    return -(shares * shares.log2()).sum().item()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("group", [64, 128, 256])
def test_the_forecast_meets_the_entropy_of_gaussian_weights(threshold, group):
    quantizer, w = ternary(group=group, threshold=threshold), gaussian(1024, 512)
    tensor = one(quantizer, w)
    bits = entropy_bits(torch.from_numpy(tensor.arrays["q"]))
    assert ternary_bits(threshold) == pytest.approx(bits, rel=0.005)
    scale = torch.from_numpy(tensor.arrays["scale"])
    measured = (w.numel() * bits + scale.numel() * entropy_bits(scale.view(torch.int16))) / 8
    assert quantizer.forecast_bytes(MATRIX, w.shape, "w") == pytest.approx(measured, rel=0.01)


def test_the_entropy_is_largest_at_thirds():
    assert ternary_bits(0.0) == pytest.approx(1.0)
    assert ternary_bits(0.5) == pytest.approx(1.583, abs=1e-3)
    assert max(ternary_bits(t / 100) for t in range(100)) <= math.log2(3)


def test_zero_and_tiny_weights_survive():
    assert not decoded(ternary(), torch.zeros(3, 100)).any()
    assert bool(decoded(ternary(), torch.full((3, 100), 1e-9)).isfinite().all())


def test_weights_beyond_the_scale_are_named():
    with pytest.raises(NonFiniteWeight, match=r"'w'.*scale beyond float16"):
        one(ternary(), torch.full((2, 2), 1e6))


def test_embedding_and_kept_tensors_are_forecast_as_elsewhere():
    at_its_maximum = child("scale", "percentile", percentile=1.0)
    rtn, six = quantizer("int6_rtn", embedding_bits=6, scale=at_its_maximum), ternary(embedding_bits=6)
    for spec, shape in ((CONTROL, (3, 5)), (HALF, (7,)), (EMBEDDING, (100, 64))):
        assert six.forecast_bytes(spec, shape, "t") == pytest.approx(rtn.forecast_bytes(spec, shape, "t"))
    assert six.forecast_bytes(CONTROL, (3, 5), "c") == 15 * FLOAT_BITS["fp32"] / 8
    codes = six.forecast_bytes(EMBEDDING, (100, 64), "e") - 100 * SCALE_BYTES
    assert 5 < 8 * codes / 6400 < 6.1
