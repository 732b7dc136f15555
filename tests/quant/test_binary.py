import numpy as np
import pytest
import torch

from pgolf.core.results import ParamSpec
from pgolf.quant.binary import Binary
from pgolf.quant.entropy import FLOAT_BITS
from pgolf.quant.errors import NonFiniteWeight
from pgolf.quant.schemes import problem_of

MATRIX = ParamSpec("matrix", "matrix", "mlp")
EMBEDDING = ParamSpec("embedding", "embedding", "embedding")
CONTROL = ParamSpec("scalar", "keep_fp32", "scale")


def binary(group=128, embedding_bits=8, keep="by_role"):
    return Binary(group=group, embedding_bits=embedding_bits, keep=keep)


def gaussian(*shape):
    return 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def one(quantizer, weight):
    (tensor,) = quantizer.quantize({"w": weight}, {"w": MATRIX}).tensors
    assert problem_of(tensor) is None
    return tensor


def decoded(weight, group=128):
    return binary(group).dequantize(binary(group).quantize({"w": weight}, {"w": MATRIX}))["w"]


def test_storage_role_alone_decides_what_is_binary():
    state = {"w": gaussian(4, 4), "e": gaussian(9, 4), "c": gaussian(300, 3)}
    quantized = binary(embedding_bits=6).quantize(state, {"w": MATRIX, "e": EMBEDDING, "c": CONTROL})
    stored = {t.name: (t.scheme, t.bits) for t in quantized.tensors}
    assert stored == {"w": ("binary128", 0), "e": ("grid", 6), "c": ("fp32", 0)}


@pytest.mark.parametrize("shape", [(7, 37), (300,), (), (0, 3), (2, 3, 64)], ids=str)
def test_signs_come_back_and_quantizing_again_changes_nothing(shape):
    w = gaussian(*shape)
    once = decoded(w, group=64)
    assert once.shape == shape
    assert torch.equal(once >= 0, w >= 0)
    torch.testing.assert_close(decoded(once, group=64), once, rtol=1e-3, atol=0)


def test_no_other_level_has_a_smaller_error():
    w = gaussian(6, 128)
    back = decoded(w)
    error = (back - w).square().sum()
    for factor in (0.99, 1.01):
        assert error < (factor * back - w).square().sum()
    assert (error / w.square().sum()).item() == pytest.approx(1 - 2 / np.pi, abs=0.03)


def test_a_group_of_zeros_stays_zero():
    w = gaussian(2, 128)
    w[0] = 0
    assert not decoded(w)[0].any()


def test_the_forecast_meets_the_entropy_of_gaussian_weights():
    w = gaussian(1024, 512)
    scale = one(binary(), w).arrays["scale"]
    _, counts = np.unique(scale.view(np.int16), return_counts=True)
    shares = counts / counts.sum()
    measured = (w.numel() - len(scale) * (shares * np.log2(shares)).sum()) / 8
    assert binary().forecast_bytes(MATRIX, w.shape, "w") == pytest.approx(measured, rel=0.01)
    assert binary().forecast_bytes(CONTROL, (3, 5), "c") == 15 * FLOAT_BITS["fp32"] / 8


def test_weights_beyond_the_scale_are_named():
    with pytest.raises(NonFiniteWeight, match=r"'w'.*scale beyond float16"):
        one(binary(), torch.full((2, 2), 1e6))
