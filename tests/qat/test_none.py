import torch

from pgolf.core.make import make
from pgolf.run.rules import check
from tests.helpers import tiny_model, tiny_settings
from tests.qat.qats import FALLING, batch, gradients, quantizer


def prepared(model, *words):
    return make(tiny_settings(*words)["qat"]).prepare(model, quantizer(*words), FALLING)


def test_without_a_method_the_models_own_loss_is_trained_on_and_nothing_is_added():
    model = tiny_model()
    found = prepared(model)
    ours, theirs = found.loss(*batch()), model.loss(*batch())
    assert torch.equal(ours, theirs) and not found.hooks and not found.updates
    expected = gradients(model, theirs)
    assert all(torch.equal(g, expected[name]) for name, g in gradients(model, ours).items())


def test_it_works_with_any_quantizer_and_schedule():
    words = ("quant=none", "schedule.fraction=0.0")
    assert prepared(tiny_model(), *words).loss(*batch()).isfinite()
    check(tiny_settings(*words))
