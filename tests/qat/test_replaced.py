"""Stand-ins reach every use of a parameter, leave nothing behind, and compiled graphs follow the switch."""

import pytest
import torch

from pgolf.qat.replaced import ReplacedLoss, parameter_slots
from tests.helpers import randomise, tiny_model
from tests.qat.qats import batch, gradients

SHARED = ("arch/recurrence=mini", "arch.recurrence.untie_mlp=down", "arch.recurrence.start=0.0")


def halved(weight):
    return weight / 2, torch.full_like(weight, 0.5)


def matrices(model):
    return [name for name, spec in model.param_specs().items() if spec.storage in ("matrix", "embedding")]


def model_of(*words):
    model = tiny_model(*words)
    randomise(model)
    return model


@pytest.mark.parametrize("words", [(), SHARED], ids=["plain", "shared"])
def test_the_loss_is_that_of_a_model_with_those_weights(words):
    model, twin = model_of(*words), model_of(*words)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name in matrices(twin):
                parameter.div_(2)
    loss = ReplacedLoss(model, dict.fromkeys(matrices(model), halved))
    loss.turn_on()
    ours, theirs = loss(*batch()), twin.loss(*batch())
    assert torch.equal(ours, theirs)
    expected = gradients(twin, theirs)
    for name, gradient in gradients(model, ours).items():
        assert torch.equal(gradient, expected[name] * (0.5 if name in matrices(model) else 1.0)), name


@pytest.mark.parametrize("words", [(), SHARED], ids=["plain", "shared"])
def test_parameters_state_and_aliases_are_untouched(words):
    model = model_of(*words)
    before = {name: (id(p), p.clone()) for name, p in model.named_parameters(remove_duplicate=False)}
    loss = ReplacedLoss(model, dict.fromkeys(matrices(model), halved))
    loss.turn_on()
    loss(*batch()).backward()
    after = dict(model.named_parameters(remove_duplicate=False))
    assert list(after) == list(before) == list(model.state_dict())
    for name, (identity, value) in before.items():
        assert id(after[name]) == identity and torch.equal(after[name], value)


def test_a_module_on_two_paths_is_one_place():
    model = model_of(*SHARED)
    name = "layers.2.mlp.up.weight"
    assert model.aliases()["own_mlps.2_1.up.weight"] == name
    assert parameter_slots(model, dict(model.named_parameters()), {name: None}) == {name: [name]}


def test_off_is_the_plain_loss_bit_for_bit():
    model = model_of()
    loss = ReplacedLoss(model, dict.fromkeys(matrices(model), halved), penalty=lambda: torch.ones(()))
    ours, plain = loss(*batch()), model.loss(*batch())
    assert torch.equal(ours, plain)
    theirs = gradients(model, plain)
    assert all(torch.equal(g, theirs[name]) for name, g in gradients(model, ours).items())


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "precision", [pytest.param(None, id="fp32", marks=pytest.mark.slow), pytest.param(torch.bfloat16, id="bf16")]
)
def test_the_compiled_loss_changes_when_switched_on_without_another_graph(backend, precision):
    torch._dynamo.reset()
    model = model_of("arch.layers=2")
    loss = ReplacedLoss(model, dict.fromkeys(matrices(model), halved))

    def value(function):
        with torch.autocast("cpu", precision, enabled=precision is not None):
            found = function(*batch())
        return found, gradients(model, found)

    options = {"fullgraph": True, "backend": backend, "dynamic": False}
    plain, plain_gradients = value(torch.compile(model.loss, **options))
    loss.compile_model_part(lambda part: torch.compile(part, **options))
    off, off_gradients = value(loss)
    assert torch.equal(off, plain)
    assert all(torch.equal(g, plain_gradients[name]) for name, g in off_gradients.items())
    loss.turn_on()
    with torch._dynamo.config.patch(error_on_recompile=True):
        on, on_gradients = value(loss)
    assert not torch.equal(on, off)
    loss.compile_model_part(lambda eager: eager)
    expected, _ = value(loss)
    torch.testing.assert_close(on, expected, rtol=1e-2 if precision else 1e-5, atol=0.0)
    assert on_gradients.keys() == off_gradients.keys()
