"""The contract: one loss that can be compiled, and attributes with defaults."""

import pytest
import torch

from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.make import make
from pgolf.qat.base import Loss, QATMethod
from pgolf.qat.none import NoQAT
from tests.helpers import tiny_model, tiny_settings
from tests.qat.qats import FALLING, batch, on_a_known_grid, prepared

OPTIONS = options(conf_dir(), "qat")


def doubled(part):
    return lambda *arguments: 2 * part(*arguments)


def test_the_model_part_is_compiled_from_the_eager_one_however_often():
    loss = Loss(lambda ids, targets: ids + targets)
    loss.compile_model_part(doubled)
    loss.compile_model_part(doubled)
    assert loss(1, 2) == 6
    loss.compile_model_part(lambda eager: eager)
    assert loss(1, 2) == 3


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_keeps_the_contract_and_reads_no_weight(option):
    words = on_a_known_grid(f"qat={option}")
    method = make(tiny_settings(*words)["qat"])
    assert isinstance(method, QATMethod) and method.neutral == (option == "none")
    with torch.device("meta"):
        model = tiny_model(*words)
    assert prepared(method, *words, model=model, schedule=FALLING).hooks or method.neutral


@pytest.mark.parametrize("option", OPTIONS)
def test_every_options_loss_compiles_the_models_part(option):
    words = on_a_known_grid(f"qat={option}")
    model = tiny_model(*words)
    loss = prepared(make(tiny_settings(*words)["qat"]), *words, model=model).loss
    plain = model.loss(*batch())
    assert torch.equal(loss(*batch()), plain)
    loss.compile_model_part(doubled)
    assert torch.equal(loss(*batch()), 2 * plain)


def test_only_the_method_that_does_nothing_is_neutral():
    assert NoQAT.neutral and not QATMethod.neutral
