import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.results import QuantizedState
from pgolf.quant.correction.lqer import LQER
from pgolf.quant.correction.lqer_weighted import LQERWeighted
from pgolf.quant.grid import as_rows, quantize_rows, row_clip, row_scale
from pgolf.quant.schemes import problem_of
from pgolf.quant.stored import dequantize
from tests.quant.samples import sample


def weighted(top_k=3, rank=4, left_bits=2, right_bits=4, passes=3):
    return LQERWeighted(top_k=top_k, rank=rank, left_bits=left_bits, right_bits=right_bits, passes=passes)


def grid(name, weight, bits=4):
    scale_R = row_scale(row_clip(as_rows(weight), 1.0), bits, "smallest_normal")
    tensor = sample(name, "grid", weight.shape, bits=bits)
    tensor.arrays.update(q=quantize_rows(weight, scale_R, bits).numpy(), scale=scale_R.numpy())
    return tensor


def rounded(names="abc", rows=96, columns=64, bits=4, seed=0):
    """(weights, state, hessians) of round-to-nearest under inputs whose directions differ much in size."""
    generator = torch.Generator().manual_seed(seed)
    weights, hessians = {}, {}
    for name in names:
        weights[name] = torch.randn(rows, columns, generator=generator)
        turn = torch.linalg.qr(torch.randn(columns, columns, generator=generator)).Q
        x = torch.randn(1000, columns, generator=generator) * torch.arange(1, columns + 1) ** -0.7
        hessians[name] = (x @ turn).T @ (x @ turn)
    return weights, QuantizedState(tuple(grid(n, w, bits) for n, w in weights.items())), hessians


def output_error(weights, state, hessians, name):
    e = weights[name] - dequantize(state)[name]
    return ((e @ hessians[name]) * e).sum().item()


@pytest.mark.parametrize("seed", range(3))
def test_it_beats_the_published_form_in_the_same_bits(seed):
    weights, state, hessians = rounded("a", seed=seed)
    published = LQER(top_k=1, rank=4, left_bits=2, right_bits=4).correct(weights, state, hessians)
    fair = weighted(top_k=1).correct(weights, state, hessians)
    errors = [output_error(weights, s, hessians, "a") for s in (state, published, fair)]
    assert errors[2] < 0.75 * errors[1] <= 0.75 * errors[0]


def test_with_fine_grids_it_is_the_best_correction_of_its_rank():
    """Eckart-Young: what remains of E H^(1/2) is its singular values beyond the rank."""
    weights, state, hessians = rounded("a")
    e, h = (weights["a"] - dequantize(state)["a"]).double(), hessians["a"].double()
    root = torch.linalg.cholesky(h)
    best = torch.linalg.svdvals(e @ root)[4:].square().sum().item()
    fine = weighted(top_k=1, left_bits=8, right_bits=8).correct(weights, state, hessians)
    found = output_error(weights, fine, hessians, "a")
    assert best * 0.9999 <= found <= best * 1.002


def test_the_largest_output_errors_are_corrected_not_the_largest_errors():
    weights, state, hessians = rounded("abc")
    hessians["b"] = hessians["b"] * 1e-6
    assert set(weighted(top_k=2).correct(weights, state, hessians).corrections) == {"a", "c"}


def test_output_error_never_rises():
    for seed in range(4):
        weights, state, hessians = rounded("ab", seed=seed, bits=3 + seed)
        corrected = weighted(rank=1 + seed, left_bits=1 + seed).correct(weights, state, hessians)
        for name in "ab":
            before = output_error(weights, state, hessians, name)
            after = output_error(weights, corrected, hessians, name)
            assert after < before if name in corrected.corrections else after == before


def test_more_passes_are_never_worse():
    weights, state, hessians = rounded("a")
    errors = [
        output_error(weights, weighted(passes=p).correct(weights, state, hessians), hessians, "a") for p in (1, 2, 4)
    ]
    assert errors[0] >= errors[1] >= errors[2]


def test_factors_are_on_the_fair_grid():
    weights, state, hessians = rounded("a")
    left, right = (t for t in weighted().correct(weights, state, hessians).tensors if t.role == "lqer")
    assert (left.scheme, left.bits, left.shape) == ("half_columns", 2, (96, 4))
    assert (right.scheme, right.bits, right.shape) == ("half_rows", 4, (4, 64))
    assert problem_of(left) is None and problem_of(right) is None


def test_a_singular_hessian_is_no_obstacle():
    weights, state, hessians = rounded("a")
    hessians["a"][:, 5:] = 0
    hessians["a"][5:, :] = 0
    corrected = weighted().correct(weights, state, hessians)
    before, after = (output_error(weights, s, hessians, "a") for s in (state, corrected))
    assert after < 0.5 * before  # five directions are felt, four are corrected


def test_matrices_without_a_hessian_are_left_alone():
    weights, state, hessians = rounded("ab")
    del hessians["a"]
    assert set(weighted().correct(weights, state, hessians).corrections) == {"b"}


@pytest.mark.parametrize("hessians", [None, {}])
def test_without_calibration_it_is_refused(hessians):
    weights, state, _ = rounded("a")
    with pytest.raises(ConfigError, match=r"quant\.correction.*lqer_weighted.*Hessians.*gptq"):
        weighted().correct(weights, state, hessians)


def test_same_weights_give_the_same_bytes():
    weights, state, hessians = rounded("ab")
    first, second = (weighted().correct(weights, state, hessians) for _ in range(2))
    for a, b in zip(first.tensors, second.tensors, strict=True):
        assert a.name == b.name and all(np.array_equal(a.arrays[k], b.arrays[k]) for k in a.arrays)
