"""GPTQ as a quantizer: which tensors it takes, what it needs of a calibration, how it chooses scales."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.quant.errors import (
    BadHessian,
    HessianNotPD,
    MissingHessian,
    NonFiniteWeight,
    UnknownTensor,
)
from pgolf.quant.grid import dequantize_rows
from tests.quant.nodes import (
    ATTENTION,
    CONTROL,
    EMBEDDING,
    HEAD,
    MATRIX,
    by_name,
    calibration,
    child,
    correlated,
    decoded,
    hessian,
    quantizer,
    weights,
)

X = correlated(32)
H = hessian(X)
SPECS = {"q": ATTENTION, "up": MATRIX, "embedding": EMBEDDING, "control": CONTROL}


def model():
    state = {
        "q": weights(32, 32, 1),
        "up": weights(48, 32, 2),
        "embedding": weights(40, 32, 3),
        "control": weights(1, 32, 4)[0],
    }
    return state, dict(SPECS)


def given(**changes):
    return calibration({"q": H, "up": H, "embedding": H, **changes}, lookups=["embedding"])


def codes(quantizer_, state, specs, measured):
    return {n: t.arrays.get("q") for n, t in by_name(quantizer_.quantize(state, specs, None, measured)).items()}


def output_error(x, w, tensor):
    return float((x @ (w.double() - decoded(tensor)).T).square().sum())


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first if first[name] is not None)


@pytest.mark.parametrize("option", ["gptq", "int5_gptq", "sdclip_gptq"])
def test_outputs_are_nearer_than_rounding_to_nearest_on_the_same_scales(option):
    state, specs = model()
    gptq = quantizer(option)
    rtn = quantizer("rtn", bits=gptq.pipeline.roles.bits, embedding_bits=8, scale="sdclip")
    gptq = quantizer(option, scale="sdclip", embedding_bits=8)
    ours = by_name(gptq.quantize(state, specs, None, given()))
    plain = by_name(rtn.quantize(state, specs))
    for name in ("q", "up", "embedding"):
        assert np.array_equal(ours[name].arrays["scale"], plain[name].arrays["scale"])
        assert output_error(X, state[name], ours[name]) < output_error(X, state[name], plain[name])


def test_each_row_takes_the_scale_with_the_least_hessian_weighted_error():
    state, specs = {"w": torch.randn(24, 32, generator=torch.Generator().manual_seed(5)).exp()}, {"w": MATRIX}
    percentiles = [0.9, 0.95, 1.0]
    damped = H.double() + 0.01 * H.double().diagonal().mean() * torch.eye(32)

    def row_errors(found):
        error = state["w"].double() - decoded(by_name(found)["w"])
        return ((error @ damped) * error).sum(dim=1)

    def run(chosen):
        scale = child("scale", "percentiles", percentiles=chosen)
        return quantizer("gptq", bits=4, scale=scale).quantize(state, specs, None, calibration({"w": H}))

    single = torch.stack([row_errors(run([p])) for p in percentiles])
    torch.testing.assert_close(row_errors(run(percentiles)), single.amin(dim=0), rtol=1e-9, atol=0)
    assert len(single.argmin(dim=0).unique()) > 1


def test_a_tied_embedding_is_fitted_to_the_head_it_is():
    state, specs = model()
    with_head = codes(quantizer("gptq"), state, specs, given())
    only_looked_up = codes(quantizer("gptq"), state, specs, calibration({"q": H, "up": H}, lookups=["embedding"]))
    assert not np.array_equal(with_head["embedding"], only_looked_up["embedding"])
    rounded = codes(quantizer("gptq_lite"), state, specs, None)
    assert np.array_equal(only_looked_up["embedding"], rounded["embedding"])
    assert np.array_equal(with_head["q"], only_looked_up["q"])


@pytest.mark.parametrize("name", ["q", "up"])
def test_a_matrix_without_hessian_is_named(name):
    state, specs = model()
    left = {other: H for other in ("q", "up", "embedding") if other != name}
    with pytest.raises(MissingHessian, match=f"no Hessian for '{name}'"):
        quantizer("gptq").quantize(state, specs, None, calibration(left))


def test_without_calibration_the_first_matrix_is_named():
    with pytest.raises(MissingHessian):
        quantizer("gptq").quantize(*model())


def test_an_untied_head_needs_a_hessian_and_its_table_does_not():
    state, specs = model()
    state["head.weight"], specs["head.weight"] = weights(40, 32, 6), HEAD
    looked_up = calibration({"q": H, "up": H, "head.weight": H}, lookups=["embedding"])
    quantizer("gptq").quantize(state, specs, None, looked_up)
    with pytest.raises(MissingHessian, match=r"head\.weight"):
        quantizer("gptq").quantize(state, specs, None, calibration({"q": H, "up": H}, lookups=["embedding"]))


def test_matrices_of_a_repeat_that_never_ran_are_stored_as_the_zeros_they_are():
    state, specs = model()
    state["own_mlps.1_1.up.weight"], specs["own_mlps.1_1.up.weight"] = torch.zeros(48, 32), MATRIX
    assert not codes(quantizer("gptq"), state, specs, given())["own_mlps.1_1.up.weight"].any()


def test_what_is_kept_by_role_is_rounded_to_nearest_where_it_has_no_hessian_and_by_gptq_where_it_has_one():
    state, specs = model()
    state["kept"], specs["kept"] = weights(40, 32, 8), CONTROL
    size = {"numel": 1279, "width": 512, "fp32_components": []}  # 40 * 32 - 1
    gptq, rtn = (quantizer(o, bits=6, policy=child("policy", "legacy_numel", **size)) for o in ("gptq", "gptq_lite"))
    without = by_name(gptq.quantize(state, specs, None, given()))["kept"]
    plain = by_name(rtn.quantize(state, specs))["kept"]
    assert np.array_equal(without.arrays["q"], plain.arrays["q"]) and without.bits == 6
    seen = by_name(gptq.quantize(state, specs, None, given(kept=H)))["kept"]
    assert output_error(X, state["kept"], seen) < output_error(X, state["kept"], without)


def test_a_matrix_that_passes_needs_no_hessian():
    state, specs = model()
    key = replace(ATTENTION, kind="k", layer=0)
    state["layers.0.mixer.k.weight"], specs["layers.0.mixer.k.weight"] = weights(16, 32, 7), key
    found = by_name(quantizer("gptq", policy="late_k").quantize(state, specs, None, given()))
    assert found["layers.0.mixer.k.weight"].scheme == "fp16"


@pytest.mark.parametrize(
    ("measured", "error", "message"),
    [
        (given(up=torch.eye(31)), BadHessian, r"'up'.*\[31, 31\], the matrix is \[48, 32\]"),
        (given(up=torch.full((32, 32), float("nan"))), BadHessian, r"'up'.*NaN"),
        (given(up=-torch.ones(32, 32)), BadHessian, r"'up'.*negative"),
        (given(up=2 * torch.eye(32) - 1), HessianNotPD, r"'up'"),
        (given(embeding=H), UnknownTensor, r"'embeding'.*Did you mean 'embedding'"),
        (calibration({"q": H}, tokens=0), BadHessian, "no tokens"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(measured, error, message):
    with pytest.raises(error, match=message):
        gptq = quantizer("gptq")
        gptq.report = lambda text: None
        gptq.quantize(*model(), None, measured)


def test_raised_damping_is_reported():
    v = torch.ones(32, 1) / 32**0.5
    lines = []
    gptq = quantizer("gptq")
    gptq.report = lines.append
    gptq.quantize(*model(), None, given(up=torch.eye(32) - 1.02 * v @ v.T))
    assert [("'up'" in line, "trying 0.03" in line) for line in lines] == [(True, True)]


def test_maps_that_read_the_same_inputs_are_factored_once(monkeypatch):
    from pgolf.quant import gptq as module

    calls = []
    real = module.factor_hessian
    monkeypatch.setattr(module, "factor_hessian", lambda name, *a, **k: (calls.append(name), real(name, *a, **k))[1])
    quantizer("gptq").quantize(*model(), None, given(up=H.clone()))
    assert calls == ["embedding", "up"]  # `q` has the embedding's


def test_the_same_weights_give_the_same_codes_and_are_not_changed():
    state, specs = model()
    before = {name: value.clone() for name, value in state.items()}
    first = codes(quantizer("gptq"), state, specs, given())
    second = codes(quantizer("gptq"), dict(reversed(state.items())), specs, given())
    assert same(first, second)
    assert all(torch.equal(before[name], state[name]) for name in state)


def test_weights_that_are_not_finite_are_named():
    state, specs = model()
    state["up"][0, 0] = float("nan")
    with pytest.raises(NonFiniteWeight, match="up"):
        quantizer("gptq").quantize(state, specs, None, given())


def test_small_and_empty_matrices_pass():
    state = {"a": torch.zeros(0, 4), "b": torch.randn(3, 1), "c": torch.zeros(4, 0)}
    measured = calibration({"a": torch.eye(4), "b": torch.eye(1), "c": torch.zeros(0, 0)})
    gptq = quantizer("gptq")
    back = gptq.dequantize(gptq.quantize(state, dict.fromkeys(state, MATRIX), None, measured))
    assert {name: tuple(value.shape) for name, value in back.items()} == {
        "a": (0, 4),
        "b": (3, 1),
        "c": (4, 0),
    }


def test_an_alias_is_stored_once():
    state, specs = model()
    state["twin"] = state["up"]
    found = quantizer("gptq").quantize(state, specs, {"twin": "up"}, given())
    assert found.aliases == {"twin": "up"} and "twin" not in by_name(found)


def test_hessian_aware_scales_are_for_gptq():
    state, specs = model()
    found = quantizer("gptq", scale="hessian_sdclip").quantize(state, specs, None, given())
    plain = quantizer("gptq", scale="sdclip").quantize(state, specs, None, given())
    assert not np.array_equal(by_name(found)["up"].arrays["scale"], by_name(plain)["up"].arrays["scale"])


@pytest.mark.parametrize(("option", "bits"), [("trace", {"q": 6, "up": 5}), ("error_per_byte", {"q": 6, "up": 5})])
def test_mixed_policies_see_the_hessians(option, bits):
    state, specs = model()
    policy = child("policy", option)
    policy |= {"share": 0.5, "first_layers": []} if option == "trace" else {"byte_share": 0.5}
    found = by_name(quantizer("gptq", bits=5, policy=policy).quantize(state, specs, None, given(q=9 * H)))
    assert {name: found[name].bits for name in bits} == bits


def test_a_size_needs_a_scale_with_a_k():
    with pytest.raises(ConfigError, match=r"quant\.target_bytes.*quant/scale=percentiles has none"):
        quantizer("gptq", target_bytes=1000)
    assert quantizer("sdclip_gptq", target_bytes=1000).target_bytes == 1000


def test_damage_is_a_fraction_of_roundings_on_held_out_inputs():
    inputs = correlated(96, tokens=2000)
    x, held_out = inputs[:1000], inputs[1000:]
    state, specs = {"w": weights(64, 96)}, {"w": MATRIX}
    ours = by_name(quantizer("int5_gptq").quantize(state, specs, None, calibration({"w": hessian(x)})))["w"]
    plain = by_name(quantizer("int5_rtn").quantize(state, specs))["w"]
    assert output_error(held_out, state["w"], ours) < 0.5 * output_error(held_out, state["w"], plain)
    assert (
        float(
            (dequantize_rows(*map(torch.from_numpy, (ours.arrays["q"], ours.arrays["scale"]))) - state["w"])
            .square()
            .sum()
        )
        > 0
    )
