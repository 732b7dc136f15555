"""The penalty is its formula, its step is held fixed, and it works alone as well as with rounding."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.qat.crown_q import CrownQ, rounding_penalty
from tests.helpers import randomise, tiny_model
from tests.qat.qats import FALLING, batch, gradients, prepared, quantizer, training


def crown(rounding="none", weight=0.1):
    return CrownQ(start=0.0, start_lr_scale=None, weight=weight, levels=15, rounding=rounding)


def model_of(*words):
    model = tiny_model(*words)
    randomise(model)
    return model


def test_the_penalty_is_its_formula_row_by_row():
    weight = torch.randn(3, 5)
    expected = sum((row**2).mean() * (row.abs().max() / 15) ** 2 / 12 for row in weight)
    torch.testing.assert_close(rounding_penalty([weight], 15), expected)
    torch.testing.assert_close(rounding_penalty([weight, 2 * weight], 15), expected * 17)


def test_its_gradient_holds_the_step_fixed():
    weight = torch.randn(3, 5, requires_grad=True)
    rounding_penalty([weight], 15).backward()
    delta = weight.detach().abs().amax(1, keepdim=True) / 15
    torch.testing.assert_close(weight.grad, weight.detach() * delta**2 / (6 * 5))


def test_alone_it_adds_its_gradient_to_every_tensor_on_the_grid_and_to_no_other():
    model = model_of()
    loss = prepared(crown(), model=model).loss
    plain = gradients(model, model.loss(*batch()))
    loss.turn_on()
    value = loss(*batch())
    found = gradients(model, value)
    assert value.item() > model.loss(*batch()).item()
    for name, spec in model.param_specs().items():
        expected = plain[name]
        if spec.storage in ("matrix", "embedding"):
            weight = model.get_parameter(name).detach()
            delta = weight.abs().amax(1, keepdim=True) / 15
            expected = expected + 0.1 * weight * delta**2 / (6 * weight.shape[1])
        torch.testing.assert_close(found[name], expected)


def test_with_rounding_the_model_part_is_the_straight_through_loss():
    model = model_of()
    loss = prepared(crown("ste"), model=model).loss
    loss.turn_on()
    penalty = 0.1 * rounding_penalty([model.get_parameter(n) for n in sorted(loss.replacements)], 15)
    with_penalty = loss(*batch())
    loss.penalty = None
    torch.testing.assert_close(with_penalty, loss(*batch()) + penalty)


@pytest.mark.parametrize("rounding", ["ste", "none"])
def test_it_is_off_before_its_start(rounding):
    device = CrownQ(start=0.5, start_lr_scale=None, weight=0.1, levels=15, rounding=rounding)
    model = model_of()
    assert torch.equal(prepared(device, model=model).loss(*batch()), model.loss(*batch()))
    trainer, watch = training(device, steps=4)
    trainer.fit()
    assert watch.on == [False, False, True, True]


def test_alone_it_needs_no_known_grid_but_something_that_is_rounded():
    crown().prepare(tiny_model(), quantizer("quant=mixed_gptq"), FALLING)
    with pytest.raises(ConfigError, match="decides after training"):
        crown("ste").prepare(tiny_model(), quantizer("quant=mixed_gptq"), FALLING)
    with pytest.raises(ConfigError, match="no grid"):
        crown().prepare(tiny_model(), quantizer("quant=none"), FALLING)
