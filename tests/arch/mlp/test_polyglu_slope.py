"""Learned slopes: at their start exactly LeakyReLU(½)², one per hidden unit and visit."""

import torch

from pgolf.arch.mlp.polyglu_slope import Slope
from tests.arch.option_claims import (
    assert_option_is_sound,
    gradients_after_one_step,
    parameters,
    record_model,
)
from tests.helpers import ids, randomise, tiny_model

WORDS = ("arch/mlp=polyglu_slope",)


def test_alpha_zero_is_exactly_the_squared_leaky_relu_with_slope_one_half():
    sloped, leaky = (tiny_model(word) for word in (*WORDS, "arch/mlp=leaky_relu2"))
    randomise(leaky)
    sloped.load_state_dict(leaky.state_dict(), strict=False)
    assert not any(slope.any() for name, slope in sloped.named_parameters() if name.endswith("alpha"))
    with torch.no_grad():
        assert torch.equal(sloped.logits(ids()), leaky.logits(ids()))


def test_each_unit_scales_its_negative_half_by_its_own_slope():
    slope = Slope(3)
    with torch.no_grad():
        slope.alpha.copy_(torch.tensor([-20.0, 0.0, 20.0]))
    torch.testing.assert_close(slope(torch.full((3,), -2.0)), torch.tensor([0.0, 1.0, 4.0]))
    torch.testing.assert_close(slope(torch.full((3,), 3.0)), torch.full((3,), 9.0))


def test_the_published_count_is_one_slope_per_unit_and_layer():
    assert parameters(record_model(*WORDS)) - parameters(record_model()) == 16_896


def test_slopes_are_scalars_kept_out_of_quantization_and_decay():
    model = tiny_model(*WORDS)
    spec = model.param_specs()["controls.0_0.activation.alpha"]
    assert (spec.group, spec.storage) == ("scalar", "keep_fp16")


def test_visits_that_share_matrices_own_their_slopes():
    model = tiny_model(*WORDS, "arch/recurrence=shared")
    first, second = (model.controls[key].activation.alpha for key in ("2_0", "2_1"))
    assert first is not second
    assert not any("alpha" in name for name, _ in model.layers.named_parameters())


def test_slopes_have_a_gradient_after_one_step():
    grads = gradients_after_one_step(tiny_model(*WORDS))
    assert all(grad.any() for name, grad in grads.items() if name.endswith("alpha"))


def test_it_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS)
