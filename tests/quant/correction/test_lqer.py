import numpy as np
import pytest
import torch

from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant.correction.lqer import LQER
from pgolf.quant.errors import BadHessian, UnknownTensor
from pgolf.quant.grid import as_rows, quantize_rows, row_clip, row_scale
from pgolf.quant.schemes import SCHEMES, problem_of
from pgolf.quant.stored import dequantize
from tests.quant.samples import sample

MATRIX = ParamSpec("matrix", "matrix", "mlp")


def lqer(top_k=3, rank=4, left_bits=2, right_bits=4):
    return LQER(top_k=top_k, rank=rank, left_bits=left_bits, right_bits=right_bits)


def grid(name, weight, bits=4):
    """Round to nearest up to the row maximum."""
    scale_R = row_scale(row_clip(as_rows(weight), 1.0), bits, "smallest_normal")
    q = quantize_rows(weight, scale_R, bits)
    tensor = sample(name, "grid", weight.shape, bits=bits)
    tensor.arrays.update(q=q.numpy(), scale=scale_R.numpy())
    return tensor


def with_low_rank_error(rows=48, columns=64, rank=2, seed=0):
    """A matrix whose stored values lack a part of low rank, and nothing else to speak of."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(rows, columns, generator=generator)
    lost = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator)
    return base + 0.3 * lost, base


def damaged(**sizes):
    """(weights, state): each ``name=size`` a matrix that lacks ``size`` times its low-rank part."""
    weights, tensors = {}, []
    for seed, (name, size) in enumerate(sizes.items()):
        full, base = with_low_rank_error(seed=seed)
        weights[name] = base + size * (full - base)
        tensors.append(grid(name, base, bits=8))
    return weights, QuantizedState(tuple(tensors))


def error(weights, state):
    back = dequantize(state)
    return {name: (weights[name] - back[name]).square().sum().item() for name in weights}


def test_a_low_rank_error_is_given_back():
    weights, state = damaged(a=1.0)
    corrected = lqer().correct(weights, state, None)
    assert corrected.corrections == {"a": ("a.lqer_left", "a.lqer_right")}
    assert error(weights, corrected)["a"] < 0.5 * error(weights, state)["a"]


def test_the_largest_errors_are_corrected_and_no_others():
    weights, state = damaged(a=0.1, b=1.0, c=0.5, d=0.05)
    assert set(lqer(top_k=2).correct(weights, state, None).corrections) == {"b", "c"}
    assert set(lqer(top_k=9).correct(weights, state, None).corrections) == {"a", "b", "c", "d"}


def test_stored_matrices_themselves_are_untouched_and_all_is_sorted():
    weights, state = damaged(b=1.0, a=1.0)
    corrected = lqer().correct(weights, state, None)
    names = [t.name for t in corrected.tensors]
    assert names == sorted(names) and len(names) == 6
    by_name = {t.name: t for t in corrected.tensors}
    assert all(by_name[t.name] is t for t in state.tensors)


def test_factors_are_on_the_published_grids():
    weights, state = damaged(a=1.0)
    left, right = (t for t in lqer().correct(weights, state, None).tensors if t.role == "lqer")
    assert (left.scheme, left.bits, left.shape) == ("asym", 2, (48, 4))
    assert (right.scheme, right.bits, right.shape) == ("asym64", 4, (4, 64))
    assert problem_of(left) is None and problem_of(right) is None
    u, s, vt = torch.linalg.svd(weights["a"].double() - dequantize(state)["a"], full_matrices=False)
    exact = u[:, :4] * s[:4]
    assert float(left.arrays["scale"][0]) == pytest.approx(exact.abs().max().item() / 1.5, rel=1e-3)
    for scale, row in zip(right.arrays["scale"], vt[:4], strict=True):
        assert float(scale) == pytest.approx(row.abs().max().item() / 7.5, rel=1e-3)


def test_where_64_does_not_divide_both_factors_are_int4_by_row():
    full, base = with_low_rank_error(20, 17)
    corrected = lqer(rank=3).correct({"a": full}, QuantizedState((grid("a", base, 8),)), None)
    left, right = (t for t in corrected.tensors if t.role == "lqer")
    assert {(t.scheme, t.bits) for t in (left, right)} == {("grid", 4)}
    assert left.arrays["scale"].shape == (20,) and right.arrays["scale"].shape == (3,)


def test_decoding_is_the_matrix_plus_the_product_of_its_factors():
    weights, state = damaged(a=1.0)
    corrected = lqer().correct(weights, state, None)
    by_name = {t.name: SCHEMES[t.scheme].decode(t).double() for t in corrected.tensors}
    wanted = by_name["a"] + by_name["a.lqer_left"] @ by_name["a.lqer_right"]
    torch.testing.assert_close(dequantize(corrected)["a"].double(), wanted, rtol=0, atol=1e-5)


def hessian(columns, seed=0, spread=2.0):
    """A symmetric positive definite [C, C] whose directions differ much in size."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4 * columns, columns, generator=generator) * torch.logspace(0, -spread, columns)
    mixed = x @ torch.linalg.qr(torch.randn(columns, columns, generator=generator)).Q
    return mixed.T @ mixed


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("calibrated", [True, False])
def test_output_error_never_rises(seed, calibrated):
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(40, 48, generator=generator) for name in "abc"}
    state = QuantizedState(tuple(grid(name, w, 3 + seed % 3) for name, w in weights.items()))
    hessians = {name: hessian(48, seed + i) for i, name in enumerate("abc")} if calibrated else None
    corrected = lqer().correct(weights, state, hessians)
    before, after = dequantize(state), dequantize(corrected)
    for name, w in weights.items():
        h = hessians[name] if hessians else torch.eye(48)
        errors = [(((back[name] - w) @ h) * (back[name] - w)).sum().item() for back in (before, after)]
        assert errors[1] < errors[0] if name in corrected.corrections else errors[1] == errors[0]


def test_a_correction_that_does_not_help_is_dropped():
    w = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    error_RC = w - dequantize(QuantizedState((grid("a", w),)))["a"]
    blind = torch.linalg.svd(error_RC).Vh[8:]  # directions that no rank-4 correction of the error sees
    hessians = {"a": blind.T @ blind}
    state = QuantizedState((grid("a", w),))
    assert lqer().correct({"a": w}, state, hessians) == state


def test_only_quantized_matrices_with_room_are_corrected():
    tensors = (
        sample("kept", "fp32", (16, 16)),
        sample("vector", "grid", (64,)),
        sample("thin", "grid", (3, 64)),
        sample("ternary", "ternary128", (16, 64)),
    )
    weights = {t.name: SCHEMES[t.scheme].decode(t) for t in tensors}
    weights["ternary"] = weights["ternary"] + torch.outer(torch.ones(16), torch.ones(64))
    assert set(lqer(top_k=9).correct(weights, QuantizedState(tensors), None).corrections) == {"ternary"}


def test_nothing_is_corrected_twice():
    weights, state = damaged(a=1.0)
    once = lqer().correct(weights, state, None)
    assert lqer(top_k=9).correct(weights, once, None).corrections == once.corrections


def test_same_weights_give_the_same_bytes():
    weights, state = damaged(a=1.0, b=0.5)
    first, second = (lqer().correct(weights, state, None) for _ in range(2))
    for a, b in zip(first.tensors, second.tensors, strict=True):
        assert a.name == b.name and all(np.array_equal(a.arrays[k], b.arrays[k]) for k in a.arrays)


def test_missing_weights_and_foreign_hessians_are_named():
    weights, state = damaged(a=1.0)
    with pytest.raises(UnknownTensor, match=r"'a'.*not there to correct"):
        lqer().correct({}, state, None)
    with pytest.raises(BadHessian, match=r"'a'.*\[3, 3\].*\[48, 64\]"):
        lqer().correct(weights, state, {"a": torch.eye(3)})
