"""The penalty is each source's own, to the last factor, and it works alone as well as with rounding."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.qat.crown_q import CrownQ, rounding_penalty
from pgolf.quant.grid import qmax
from tests.helpers import randomise, tiny_model, tiny_settings
from tests.qat.qats import FALLING, batch, gradients, prepared, quantizer, training

# Two rows of two weights. Levels 3: steps 1 and 2, step variances 1/12 and 4/12. Mean squares 5 and 18.
#   row 0: 5 · 1/12 = 5/12    row 1: 18 · 4/12 = 6
WEIGHT = [[3.0, 1.0], [0.0, -6.0]]
HELD = {"reduction": "rows", "step_gradient": False}


def crown(rounding="none", weight=0.1, start=0.0, levels=15, **form):
    form = HELD | form
    return CrownQ(start=start, start_lr_scale=None, weight=weight, levels=levels, rounding=rounding, **form)


def model_of(*words):
    model = tiny_model(*words)
    randomise(model)
    return model


def linear(model):
    return [name for name, spec in model.param_specs().items() if spec.storage == "matrix"]


def value_and_gradient(weights, levels, **form):
    weights = [torch.tensor(w, requires_grad=True) for w in weights]
    value = rounding_penalty([(w, top) for w, top in zip(weights, levels, strict=True)], **form)
    return value.item(), list(torch.autograd.grad(value, weights))


def test_693_sums_over_rows_and_goes_through_the_step():
    value, (gradient,) = value_and_gradient([WEIGHT], [3], reduction="rows", step_gradient=True)
    assert value == pytest.approx(5 / 12 + 6)
    # held step: w·δ²/(6·2); row 0: 3/12, 1/12; row 1: 0, -6·4/12. Through the step, at the largest weight of
    # each row: mean(w²)·w/(6·levels²); row 0: 5·3/54; row 1: 18·(-6)/54
    expected = torch.tensor([[3 / 12 + 15 / 54, 1 / 12], [0.0, -2.0 - 2.0]])
    torch.testing.assert_close(gradient, expected)


def test_860_takes_the_mean_over_the_matrix_and_holds_the_step():
    value, (gradient,) = value_and_gradient([WEIGHT], [3], reduction="matrix", step_gradient=False)
    # the four elements w²·δ²/12: 9/12, 1/12, 0, 36·4/12; their mean is half the sum over rows
    assert value == pytest.approx((9 / 12 + 1 / 12 + 0 + 12) / 4) == pytest.approx((5 / 12 + 6) / 2)
    torch.testing.assert_close(gradient, torch.tensor([[3 / 24, 1 / 24], [0.0, -1.0]]))


def test_matrices_add_up_each_with_its_own_levels():
    one, _ = value_and_gradient([WEIGHT], [3], **HELD)
    both, _ = value_and_gradient([WEIGHT, WEIGHT], [3, 6], **HELD)
    assert both == pytest.approx(one * 1.25)


@pytest.mark.parametrize(("rows", "bits", "ratio"), [(1024, 5, 1024.0), (240, 6, 1025.07)])
def test_on_the_same_weights_693s_value_is_about_a_thousand_times_860s(rows, bits, ratio):
    # the published pair, 8.2e-6 and 8.0e-9, is 1,025: R·(q/15)²
    weight = torch.randn(rows, 64, generator=torch.Generator().manual_seed(0))
    ours = rounding_penalty([(weight, 15)], "rows", step_gradient=True)
    theirs = rounding_penalty([(weight, qmax(bits))], "matrix", step_gradient=False)
    assert (ours / theirs).item() == pytest.approx(ratio, rel=1e-4)


def test_the_two_words_are_the_two_sources():
    ours, theirs = (make(tiny_settings(f"qat={word}")["qat"]) for word in ("crown_q", "crown_q_pr860"))
    assert ours.weight == theirs.weight == 0.01
    assert (ours.levels, ours.reduction, ours.step_gradient) == (15, "rows", True)
    assert (theirs.levels, theirs.reduction, theirs.step_gradient) == (None, "matrix", False)


def test_without_levels_each_tensor_has_its_own_last_code():
    words = ("quant=int5_rtn", "quant/policy=int6_last_n", "quant.policy.last=1")
    model = model_of(*words)
    method = crown(levels=None)
    found = method._levels(model, quantizer(*words))
    assert set(found) == set(linear(model)) and set(found.values()) == {15, 31}
    loss = prepared(method, *words, model=model).loss
    penalty = rounding_penalty([(model.get_parameter(n), top) for n, top in found.items()], **HELD)
    torch.testing.assert_close(loss.penalty(), 0.1 * penalty)


@pytest.mark.parametrize("reduction", ["rows", "matrix"])
def test_alone_it_adds_its_gradient_to_every_linear_layer_on_the_grid_and_to_no_other(reduction):
    model = model_of()
    loss = prepared(crown(weight=10.0, reduction=reduction), model=model).loss
    plain = gradients(model, model.loss(*batch()))
    loss.turn_on()
    value = loss(*batch())
    found = gradients(model, value)
    assert value.item() > model.loss(*batch()).item()
    for name in model.param_specs():
        expected = plain[name]
        if name in linear(model):
            weight = model.get_parameter(name).detach()
            delta = weight.abs().amax(1, keepdim=True) / 15
            rows = len(weight) if reduction == "matrix" else 1
            expected = expected + 10 * weight * delta**2 / (6 * weight.shape[1] * rows)
            assert not torch.equal(expected, plain[name]), name
        torch.testing.assert_close(found[name], expected)


def test_with_rounding_the_model_part_is_the_straight_through_loss():
    model = model_of()
    loss = prepared(crown("ste"), model=model).loss
    assert set(loss.replacements) > set(linear(model)), "the embedding is rounded too"
    loss.turn_on()
    penalty = 0.1 * rounding_penalty([(model.get_parameter(n), 15) for n in linear(model)], **HELD)
    with_penalty = loss(*batch())
    loss.penalty = None
    torch.testing.assert_close(with_penalty, loss(*batch()) + penalty)


@pytest.mark.parametrize("rounding", ["ste", "none"])
def test_it_is_off_before_its_start(rounding):
    method = crown(rounding, start=0.5)
    model = model_of()
    assert torch.equal(prepared(method, model=model).loss(*batch()), model.loss(*batch()))
    trainer, watch = training(method, steps=4)
    trainer.fit()
    assert watch.on == [False, False, True, True]


def test_alone_it_needs_no_known_grid_but_something_that_is_rounded():
    crown().prepare(tiny_model(), quantizer("quant=mixed_gptq"), FALLING)
    with pytest.raises(ConfigError, match="decides after training"):
        crown("ste").prepare(tiny_model(), quantizer("quant=mixed_gptq"), FALLING)
    with pytest.raises(ConfigError, match="no grid"):
        crown().prepare(tiny_model(), quantizer("quant=none"), FALLING)


def test_its_own_levels_need_known_bits_and_no_known_steps():
    crown(levels=None).prepare(tiny_model(), quantizer("quant=int6_gptq", "quant/scale=hessian_sdclip"), FALLING)
    with pytest.raises(ConfigError, match="policy=ErrorPerByte decides after"):
        crown(levels=None).prepare(tiny_model(), quantizer("quant=mixed_gptq"), FALLING)
    with pytest.raises(ConfigError, match="Ternary has levels per group"):
        crown(levels=None).prepare(tiny_model(), quantizer("quant=ternary"), FALLING)
