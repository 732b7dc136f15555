"""Top blocks mix the inputs of the blocks before them; w = (1, 0, …) is the plain model."""

import pytest
import torch

from pgolf.arch.addon.hyper_connections import Connect
from pgolf.core.errors import ConfigError
from tests.arch.addon.properties import (
    added_at_record,
    assert_compiles,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.helpers import ids, randomise, tiny_model

WORD = "arch/addon=[hyper_connections]"
NODE = "arch.addons.hyper_connections"
SOFTMAX = (WORD, f"{NODE}.weights=softmax", f"{NODE}.initial=[2.0,0.0,0.5,-0.5]")
FORMS = {
    "three-scalar": (WORD,),
    "softmax of three earlier states": SOFTMAX,
    "every layer": (WORD, f"{NODE}.layers=6"),
}


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_it_is_causal(words):
    assert_causal(tiny_model(*words))


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_properties_of_every_addon(words):
    assert_partitioned(tiny_model(*words))
    assert_finite_under_bf16(tiny_model(*words))


@pytest.mark.parametrize("words", [(WORD,), SOFTMAX], ids=["three-scalar", "softmax"])
def test_it_compiles_as_one_graph(words):
    assert_compiles(*words, f"{NODE}.layers=1", layers=2)


@pytest.mark.parametrize(
    "words",
    [(f"{NODE}.initial=[1.0,0.0]",), (f"{NODE}.weights=softmax", f"{NODE}.initial=[1e4,0.0,0.0]")],
    ids=["free", "softmax"],
)
def test_weight_one_on_its_own_reading_is_the_plain_model(words):
    plain, model = tiny_model(), tiny_model(WORD, *words)
    model.load_state_dict(plain.state_dict(), strict=False)
    randomise(plain)
    randomise(model)
    torch.testing.assert_close(model.logits(ids()), plain.logits(ids()))


@pytest.mark.parametrize(("words", "layers"), [((WORD,), 4), (SOFTMAX, 4), (FORMS["every layer"], 6)])
def test_blocks_read_the_inputs_of_the_blocks_before_them(words, layers):
    model = tiny_model(*words)
    randomise(model)
    with torch.no_grad():
        for controls in model.controls.values():
            controls.residual_mix.copy_(torch.tensor([[0.8], [0.3]]).expand(2, 32))
    inputs, readings = [], []

    def record(part, args, output):
        inputs.append(args[1])
        readings.append((args[0], output))

    for visit in model.schedules["plain"].visits:
        (part,) = model.addons.block_sites[visit.key]["read"]
        part.register_forward_hook(record)
    x0 = model.embed(ids())
    model.hidden(ids())
    assert len(inputs) == 6
    for index, (u, reading) in enumerate(readings):
        torch.testing.assert_close(u, 0.8 * inputs[index] + 0.3 * x0)
        (part,) = model.addons.block_sites[f"{index}_0"]["read"]
        if index < 6 - layers:
            assert reading is u
            continue
        mix = part.mix.softmax(0) if part.softmax else part.mix
        earlier = [inputs[index - k] if index >= k else x0 for k in range(1, mix.numel())]
        expected = mix[0] * u + sum(w * state for w, state in zip(mix[1:], earlier, strict=True))
        torch.testing.assert_close(reading, expected)


def test_every_top_block_has_its_weights_and_they_learn():
    model = tiny_model(WORD)
    parts = {name: part for name, part in model.addons.parts.items() if isinstance(part, Connect)}
    assert sorted(parts) == [f"hyper_connections_{i}_0" for i in (2, 3, 4, 5)]
    for part in parts.values():
        torch.testing.assert_close(part.mix.detach(), torch.tensor([1.0, 0.3]))
    one_step(model)
    model.zero_grad()
    one_step(model, seed=1)
    assert all(part.mix.grad.all() for part in parts.values())


def test_parameter_counts_and_groups():
    assert added_at_record("hyper_connections") == 8
    assert added_at_record("hyper_connections", f"{NODE}.weights=softmax", f"{NODE}.initial=[2,0,0]") == 12
    for name, spec in tiny_model(WORD).param_specs().items():
        if "hyper" in name:
            assert (spec.group, spec.storage) == ("scalar", "keep_fp32")


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="7 is more than the model's 6 layers"):
        tiny_model(WORD, f"{NODE}.layers=7")
    with pytest.raises(ConfigError, match="at least two numbers"):
        tiny_model(WORD, f"{NODE}.initial=[1.0]")
