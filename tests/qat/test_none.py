from pgolf.core.make import make
from tests.helpers import tiny_model, tiny_settings
from tests.qat.qats import FALLING, quantizer


def test_without_a_device_the_models_own_loss_is_trained_on_and_nothing_is_added():
    model = tiny_model()
    found = make(tiny_settings()["qat"]).prepare(model, quantizer(), FALLING)
    assert found.loss == model.loss and not found.hooks and not found.updates


def test_it_works_with_any_quantizer():
    words = ("quant=none",)
    assert make(tiny_settings(*words)["qat"]).prepare(tiny_model(), quantizer(*words), FALLING).loss
