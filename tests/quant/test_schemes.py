"""Every storage scheme against a slow reference; every value outside its grid refused."""

from dataclasses import replace
from importlib.util import find_spec, module_from_spec

import numpy as np
import pytest
import torch

from pgolf.quant.grid import qmax
from pgolf.quant.schemes import SCHEMES, base, home_of, problem_of
from pgolf.quant.schemes.asym import quantize_asym
from pgolf.quant.schemes.half import quantize_half
from tests.quant.samples import code_range, sample

SHAPES = [(12, 24), (3, 43), (1, 1), (7, 3)]
GROUPED = [name for name in SCHEMES if name.startswith(("ternary", "binary"))]


def group_of(scheme):
    return int("".join(c for c in scheme if c.isdigit()))


def slow_decode(tensor):
    """Element by element, as the docstrings say."""
    q, scale = tensor.arrays["q"].astype(float), tensor.arrays["scale"].astype(float)
    out, flat = np.empty(q.shape), q.reshape(-1)
    for at in np.ndindex(*q.shape):
        place = int(np.ravel_multi_index(at, q.shape)) if at else 0
        if tensor.scheme == "grid":
            out[at] = q[at] * scale[int(np.prod(at[:-1], dtype=int)) if len(at) < 2 else at[0]]
        elif tensor.scheme == "asym":
            out[at] = q[at] * scale[0]
        elif tensor.scheme.startswith("half"):
            out[at] = (q[at] + 0.5) * scale[at[0] if tensor.scheme == "half_rows" else at[1]]
        else:
            size = group_of(tensor.scheme)
            held = flat[place // size * size :][:size]
            share = np.abs(held).mean() if tensor.scheme.startswith("ternary") else 1.0
            out[at] = q[at] * scale[place // size] / (share or 1.0)
    return out


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name not in ("fp32", "fp16")])
def test_decoding_equals_the_definition(scheme, shape):
    tensor = sample("w", scheme, shape)
    assert problem_of(tensor) is None
    decoded = SCHEMES[scheme].decode(tensor)
    assert decoded.dtype == torch.float32 and decoded.shape == shape
    np.testing.assert_allclose(decoded.numpy(), slow_decode(tensor), rtol=3e-7)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_scheme_is_registered_by_the_module_that_its_name_begins_with(scheme, monkeypatch):
    monkeypatch.setattr(base, "REGISTERED", {})
    spec = find_spec(home_of(scheme))
    spec.loader.exec_module(module_from_spec(spec))
    assert scheme in base.REGISTERED


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 50), (0, 4), (4, 0)], ids=str)
@pytest.mark.parametrize("scheme", [name for name in SCHEMES if not name.startswith("half")])
def test_any_number_of_dimensions_can_be_stored(scheme, shape):
    tensor = sample("w", scheme, shape)
    assert problem_of(tensor) is None
    assert SCHEMES[scheme].decode(tensor).shape == shape


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name not in ("fp32", "fp16")])
def test_codes_outside_the_grid_are_refused_and_its_ends_are_not(scheme):
    tensor = sample("w", scheme, (12, 24))
    low, high = code_range(scheme, tensor.bits)
    for value in (low, high):
        assert problem_of(filled(tensor, value)) is None
    for value in (low - 1, high + 1):
        assert "outside the grid" in problem_of(filled(tensor, value)) or "neither" in problem_of(filled(tensor, value))


def filled(tensor, value):
    q = tensor.arrays["q"].copy()
    q[3, 5] = value
    return replace(tensor, arrays=tensor.arrays | {"q": q})


def test_a_binary_code_is_never_zero():
    assert "neither -1 nor 1" in problem_of(filled(sample("w", "binary64", (12, 24)), 0))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name not in ("fp32", "fp16")])
def test_scales_that_are_no_positive_numbers_are_refused(scheme, bad):
    tensor = sample("w", scheme, (12, 24))
    scale = tensor.arrays["scale"].copy()
    scale[-1] = bad
    problem = problem_of(replace(tensor, arrays=tensor.arrays | {"scale": scale}))
    if bad == 0 and scheme.startswith("binary"):
        assert problem is None  # a group of zeros
    else:
        assert "scale" in problem


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [-1, 9, 1 << 40])
def test_impossible_bits_are_refused(scheme, bits):
    assert "bits" in problem_of(replace(sample("w", scheme, (12, 24)), bits=bits))


@pytest.mark.parametrize("scheme", ["half_rows", "half_columns"])
def test_the_half_grid_is_for_matrices(scheme):
    tensor = sample("w", scheme, (5,))
    assert "1 dimensions" in problem_of(tensor)


@pytest.mark.parametrize("scheme", GROUPED)
@pytest.mark.parametrize("extra", [0, 1])
def test_the_last_group_may_be_shorter(scheme, extra):
    size = group_of(scheme)
    tensor = sample("w", scheme, (2 * size + extra,))
    assert tensor.arrays["scale"].shape == (2 + extra,)


def test_ternary_gives_the_zeros_share_back():
    tensor = sample("w", "ternary64", (3, 50))
    decoded = SCHEMES["ternary64"].decode(tensor).abs().reshape(-1)
    for group, scale in enumerate(tensor.arrays["scale"]):
        assert decoded[64 * group : 64 * group + 64].mean().item() == pytest.approx(float(scale), rel=1e-6)


def test_a_group_of_zeros_decodes_to_zeros():
    tensor = sample("w", "ternary128", (2, 128))
    q = tensor.arrays["q"].copy()
    q[0] = 0
    decoded = SCHEMES["ternary128"].decode(replace(tensor, arrays=tensor.arrays | {"q": q}))
    assert not decoded[0].any() and decoded[1].any()


def test_the_published_grid_is_biased_as_described_and_the_fair_one_is_not():
    """Decisions 16: +max becomes 0.67 max, -max -1.33 max."""
    w = torch.tensor([[3.0, -3.0], [1.0, -1.0]])
    q, scale = quantize_asym(w, 2, None)
    assert (q * scale.float())[0].tolist() == pytest.approx([2.0, -4.0])
    q, scale = quantize_half(w, 2, "half_columns")
    back = (q + 0.5) * scale.float()
    assert torch.equal(back[:, 0], -back[:, 1])


def test_asym_codes_reach_both_ends_of_the_grid():
    w = torch.linspace(-1, 1, 512)
    for bits in range(2, 9):
        q, _ = quantize_asym(w, bits, 64)
        assert (int(q.min()), int(q.max())) == (-qmax(bits) - 1, qmax(bits))


@pytest.mark.parametrize("lines", ["half_rows", "half_columns"])
def test_the_half_grid_beats_its_full_range_on_every_line(lines):
    w_RC = torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    q, scale = quantize_half(w_RC, 3, lines)
    dim = 1 if lines == "half_rows" else 0
    found = ((q + 0.5) * scale.float().unsqueeze(dim) - w_RC).square().sum(dim)
    step = (w_RC.abs().amax(dim, keepdim=True) / 3.5).half().float()
    plain = (((w_RC / step).floor().clamp(-4, 3) + 0.5) * step - w_RC).square().sum(dim)
    assert bool((found <= plain).all()) and found.sum() < 0.8 * plain.sum()
