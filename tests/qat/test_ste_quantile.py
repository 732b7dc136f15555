"""The grid of #687 and #860: scales from a row quantile, one code more below zero, the gradient everywhere."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.qat.ste_quantile import QuantileGrid, STEQuantile
from tests.helpers import randomise, tiny_model, tiny_settings
from tests.qat.qats import FALLING, batch, gradients, prepared, quantizer, training

# |w| sorted: 3, 6, 12, 14, 24. The quantile 0.75 of five is the fourth, 14; at 4 bits q = 7 and s = 2.
ROW = torch.tensor([[3.0, -24.0, 14.0, 12.0, -6.0]])


def four_bits(quantile=0.75, floor="legacy"):
    return QuantileGrid(4, quantile, floor)


def full(**settings):
    return STEQuantile(**{"start": 0.0, "start_lr_scale": None, "quantile": 0.9995, "floor": "legacy"} | settings)


def test_codes_lie_between_minus_q_minus_one_and_q():
    # w/s = 1.5, -12, 7, 6, -3; half to even: 2, clipped to -8, 7, 6, -3
    value, _ = four_bits().round(ROW)
    assert torch.equal(value, torch.tensor([[4.0, -16.0, 14.0, 12.0, -6.0]]))
    assert torch.equal(four_bits().round(-ROW)[0], torch.tensor([[-4.0, 14.0, -14.0, -12.0, 6.0]]))


def test_a_quantile_between_two_magnitudes_is_on_the_line_between_them():
    # 0.7 of five: position 2.8 between 12 and 14, 13.6; s = 13.6/7, and 12/s = 6.18
    value, _ = four_bits(0.7).round(ROW)
    torch.testing.assert_close(value[0, 3], torch.tensor(6 * 13.6 / 7))
    expected = torch.quantile(ROW.abs(), 0.7, dim=1) / 7 * 7
    torch.testing.assert_close(value[0, 2], expected[0])


def test_the_published_quantile_clips_only_the_largest_of_512():
    # position 0.9995·511 = 510.7445: the last step of the sorted row, 0.2555 short of its end
    row = torch.linspace(1.0, 2.0, 512)[None]
    top = row[0, 510] + 0.7445 * (row[0, 511] - row[0, 510])
    value, _ = QuantileGrid(5, 0.9995, "legacy").round(row)
    torch.testing.assert_close(value.amax(), top, rtol=1e-6, atol=0)


def test_under_the_published_floor_rows_below_one_share_a_step():
    # int5: clip 0.3 is taken for 1, the step is 1/15; 0.3 = 4.5 steps rounds to 4, 0.1 = 1.5 steps to 2
    row = torch.tensor([[0.299999, 0.1000001]])
    value, _ = QuantileGrid(5, 1.0, "legacy").round(row)
    torch.testing.assert_close(value, torch.tensor([[4 / 15, 2 / 15]]))
    value, _ = QuantileGrid(5, 1.0, "smallest_normal").round(row)
    torch.testing.assert_close(value, torch.tensor([[0.3, 0.1]]), rtol=1e-4, atol=0)


def test_an_empty_row_stays_zero():
    assert not QuantileGrid(5, 0.9995, "smallest_normal").round(torch.zeros(2, 3))[0].any()


def test_the_gradient_passes_everywhere():
    words = ("quant=int5_rtn",)
    model = tiny_model(*words)
    randomise(model)
    loss = prepared(full(quantile=0.5, floor="smallest_normal"), *words, model=model).loss
    loss.turn_on()
    rounded = {name: value.detach() for name, value in loss.stand_ins().items()}
    found = gradients(model, loss(*batch()))
    twin = tiny_model(*words)
    twin.load_state_dict(model.state_dict() | rounded)
    expected = gradients(twin, twin.loss(*batch()))
    assert all(torch.equal(found[name], expected[name]) for name in rounded)


def test_linear_layers_have_their_own_bits_and_the_embedding_stays():
    words = ("quant=int5_rtn", "quant/policy=int6_last_n", "quant.policy.last=1")
    model = tiny_model(*words)
    found = prepared(full(), *words, model=model).loss.replacements
    assert set(found) == {n for n, spec in model.param_specs().items() if spec.storage == "matrix"}
    assert {grid.__self__.bits for grid in found.values()} == {5, 6}


def test_it_begins_at_its_step():
    trainer, watch = training(full(start=0.5), steps=4)
    trainer.fit()
    assert watch.on == [False, False, True, True]


def test_the_word_is_the_published_one():
    method = make(tiny_settings("qat=ste_quantile")["qat"])
    assert (method.quantile, method.floor, method.start_lr_scale) == (0.9995, "legacy", 0.1)


def test_it_needs_known_bits_and_no_known_steps():
    full().prepare(tiny_model(), quantizer("quant=sdclip_gptq", "quant.target_bytes=900000"), FALLING)
    with pytest.raises(ConfigError, match="qat=ste_quantile: quant/policy=ErrorPerByte decides after"):
        full().prepare(tiny_model(), quantizer("quant=mixed_gptq"), FALLING)
    with pytest.raises(ConfigError, match="qat=ste_quantile needs an integer grid; Ternary"):
        full().prepare(tiny_model(), quantizer("quant=ternary"), FALLING)
