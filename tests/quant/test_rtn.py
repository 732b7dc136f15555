import hashlib

import numpy as np
import pytest
import torch

from pgolf.quant.errors import NonFiniteWeight, UnknownTensor
from pgolf.quant.grid import qmax
from tests.quant.nodes import CONTROL, EMBEDDING, HALF, MATRIX, by_name, child, quantizer


def rtn(bits=6, embedding_bits=8, percentile=1.0, keep="by_role"):
    scale = child("scale", "percentile", percentile=percentile)
    return quantizer("rtn", bits=bits, embedding_bits=embedding_bits, scale=scale, keep=keep)


def model():
    generator = torch.Generator().manual_seed(3)
    state = {
        "mlp.up": torch.randn(24, 16, generator=generator) * 0.05,
        "embedding": torch.randn(40, 16, generator=generator),
        "scale": torch.randn(16, generator=generator),
        "gate": torch.randn(16, 4, generator=generator),
    }
    return state, {"mlp.up": MATRIX, "embedding": EMBEDDING, "scale": CONTROL, "gate": HALF}


def drawn(rows, columns, seed):
    """Bell-shaped float32 [rows, columns] by integer arithmetic alone: what torch draws depends on the processor."""
    n = np.arange(seed, seed + 4 * rows * columns, dtype=np.uint64)
    for shift, factor in ((16, 0x45D9F3B), (16, 0x45D9F3B), (16, 1)):
        n = ((n ^ (n >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    sums = n.reshape(rows, columns, 4).sum(axis=-1).astype(np.int64) - (1 << 33)
    return torch.from_numpy((sums / 2.0**31).astype(np.float32))


def fixed_model():
    """``model`` with other numbers, which are the same on every machine, and so is all that rounding does to them."""
    state = {
        "mlp.up": drawn(24, 16, 1) * 0.0625,
        "embedding": drawn(40, 16, 10_000),
        "scale": drawn(1, 16, 20_000)[0],
        "gate": drawn(16, 4, 30_000),
    }
    return state, model()[1]


# SHA-256 of what `fixed_model()` is stored as, by the quantizers that stored `model()` as they always had.
DIGESTS = {
    "int5_rtn": "a7a6ef116110f9ecadfbb95b124fbc19316d1f0a1b0f25711b2cb315b3667c3d",
    "int6_rtn": "8e626fdfac9a83d629ab5a0dc350e9b9c47aa82c296270ded87a447bf4265f3e",
    "int8_rtn": "4265b918210671aec4b5607ab9e30ba6b33528034d5a12230504a41837b73c49",
}


@pytest.mark.parametrize("option", DIGESTS)
def test_the_first_presets_store_the_bytes_they_always_stored(option):
    digest = hashlib.sha256()
    for tensor in quantizer(option).quantize(*fixed_model()).tensors:
        facts = (tensor.name, tensor.role, tensor.scheme, tensor.shape, tensor.bits)
        digest.update(" ".join(map(str, facts)).encode())
        for field in sorted(tensor.arrays):
            digest.update(tensor.arrays[field].tobytes())
    assert digest.hexdigest() == DIGESTS[option]


def test_storage_role_alone_decides_what_is_quantized():
    stored = by_name(rtn().quantize(*model()))
    assert [(t.scheme, t.bits) for t in stored.values()] == [
        ("grid", 8),
        ("fp16", 0),
        ("grid", 6),
        ("fp32", 0),
    ]
    assert list(stored) == sorted(stored)
    assert int(np.abs(stored["mlp.up"].arrays["q"]).max()) == qmax(6)


def test_large_control_tensors_pass_and_small_matrices_are_quantized():
    state = {"control": torch.randn(300, 300), "tiny": torch.randn(2, 2)}
    stored = by_name(rtn().quantize(state, {"control": CONTROL, "tiny": MATRIX}))
    assert (stored["control"].scheme, stored["tiny"].scheme) == ("fp32", "grid")


def test_kept_tensors_come_back_bit_for_bit():
    state, specs = model()
    state["scale"][3] = 1e-42  # a subnormal
    quantizer = rtn()
    back = quantizer.dequantize(quantizer.quantize(state, specs))
    assert torch.equal(back["scale"], state["scale"])
    assert torch.equal(back["gate"], state["gate"].half().float())
    assert {value.dtype for value in back.values()} == {torch.float32}


def test_keep_setting_overrides_the_dtype_of_kept_tensors():
    schemes = {keep: by_name(rtn(keep=keep).quantize(*model())) for keep in ("fp32", "fp16")}
    assert {schemes["fp32"][name].scheme for name in ("scale", "gate")} == {"fp32"}
    assert {schemes["fp16"][name].scheme for name in ("scale", "gate")} == {"fp16"}


@pytest.mark.parametrize("bits", range(2, 9))
def test_error_shrinks_with_bits_and_stays_within_half_a_step(bits):
    state, specs = model()
    quantizer = rtn(bits=bits)
    quantized = quantizer.quantize(state, specs)
    error = (quantizer.dequantize(quantized)["mlp.up"] - state["mlp.up"]).abs()
    step = torch.from_numpy(by_name(quantized)["mlp.up"].arrays["scale"].astype("float32"))[:, None]
    assert bool((error <= step * 0.57).all())


def test_quantizing_the_result_again_changes_nothing():
    state, specs = model()
    quantizer = rtn()
    once = quantizer.dequantize(quantizer.quantize(state, specs))
    twice = quantizer.dequantize(quantizer.quantize(once, specs))
    for name in once:
        torch.testing.assert_close(twice[name], once[name], rtol=1e-3, atol=0)


@pytest.mark.parametrize("shape", [(7,), (), (3, 4, 5), (1, 9), (9, 1), (0, 4), (4, 0)])
def test_any_shape_can_be_quantized(shape):
    state = {"w": torch.randn(shape)}
    quantizer = rtn(bits=8)
    back = quantizer.dequantize(quantizer.quantize(state, {"w": MATRIX}))["w"]
    assert back.shape == shape
    torch.testing.assert_close(back, state["w"], rtol=0, atol=0.02)


def test_same_weights_give_the_same_codes_whatever_their_order():
    state, specs = model()
    first, second = (rtn().quantize(s, specs) for s in (state, dict(reversed(state.items()))))
    for a, b in zip(first.tensors, second.tensors, strict=True):
        assert a.name == b.name and a.arrays.keys() == b.arrays.keys()
        assert all(np.array_equal(a.arrays[field], b.arrays[field]) for field in a.arrays)


def test_input_is_not_changed():
    state, specs = model()
    before = {name: value.clone() for name, value in state.items()}
    rtn().quantize(state, specs)
    assert all(torch.equal(before[name], state[name]) for name in state)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_weight_is_named(bad):
    state, specs = model()
    state["mlp.up"][1, 2] = bad
    with pytest.raises(NonFiniteWeight, match=r"mlp\.up"):
        rtn().quantize(state, specs)


def test_weights_beyond_the_scale_and_beyond_float16_are_refused():
    state, specs = model()
    with pytest.raises(NonFiniteWeight, match="scale beyond float16"):
        rtn().quantize(state | {"mlp.up": torch.full((2, 2), 1e8)}, specs)
    with pytest.raises(NonFiniteWeight, match="65504"):
        rtn().quantize(state | {"gate": torch.full((2,), 1e5)}, specs)


def test_tensor_without_policy_is_named_with_the_nearest():
    state, specs = model()
    with pytest.raises(UnknownTensor, match=r"mlp\.uq.*Did you mean 'mlp\.up'"):
        rtn().quantize(state | {"mlp.uq": torch.zeros(2, 2)}, specs)


def test_policy_without_tensor_is_named():
    state, specs = model()
    with pytest.raises(UnknownTensor, match="lost"):
        rtn().quantize(state, specs | {"lost": MATRIX})


def test_integers_and_float64_are_refused():
    for dtype in (torch.int64, torch.float64):
        with pytest.raises(UnknownTensor, match=str(dtype)):
            rtn().quantize({"w": torch.zeros(2, dtype=dtype)}, {"w": CONTROL})
