"""Top blocks mix the inputs of the blocks before them; w = (1, 0, …) is the plain model."""

import math

import pytest
import torch

from pgolf.arch.addon.hyper_connections import Connect, ConnectOutputs, KeepOutput
from pgolf.arch.block import Block, ForwardContext
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model

WORD = "arch/addon=[hyper_connections]"
NODE = "arch.addons.hyper_connections"
FIELDS = ("visit", "layer", "mlp", "controls", "sites")
SOFTMAX = (WORD, f"{NODE}.weights=softmax", f"{NODE}.initial=[2.0,0.0,0.5,-0.5]")
IDLE = (
    "2_0.residual_mix",
    "3_0.residual_mix",
    "4_0.residual_mix",
    "5_0.residual_mix",
)  # of the top four layers
FORMS = {
    "three-scalar": (WORD,),
    "softmax of three earlier blocks": SOFTMAX,
    "every layer": (WORD, f"{NODE}.layers=6"),
}


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_it_is_causal(words):
    assert_causal(tiny_model(*words))


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_properties_of_every_addon(words):
    assert_partitioned(tiny_model(*words))
    assert_finite_under_bf16(tiny_model(*words), idle=IDLE if words is SOFTMAX else ())


@pytest.mark.parametrize("words", [(WORD,), SOFTMAX], ids=["three-scalar", "softmax"])
def test_it_compiles_as_one_graph(words):
    assert_one_graph(tiny_model(*words, f"{NODE}.layers=1", "arch.layers=2"), logits=True)


@pytest.mark.parametrize(
    "words",
    [
        (f"{NODE}.initial=[1.0,0.0]",),
        (f"{NODE}.weights=softmax", f"{NODE}.initial=[1e4,0.0,0.0]"),  # where the residual mix is (1, 0)
    ],
    ids=["free", "softmax"],
)
def test_weight_one_on_its_own_reading_is_the_plain_model(words):
    plain, model = tiny_model(), tiny_model(WORD, *words)
    model.load_state_dict(plain.state_dict(), strict=False)
    randomise(plain)
    randomise(model)
    torch.testing.assert_close(model.logits(ids()), plain.logits(ids()))


def mixed_model(*words):
    model = tiny_model(*words)
    randomise(model)
    with torch.no_grad():
        for controls in model.controls.values():
            controls.residual_mix.copy_(torch.tensor([[0.8], [0.3]]).expand(2, 32))
    return model


@pytest.mark.parametrize(("words", "layers"), [((WORD,), 4), (FORMS["every layer"], 6)])
def test_free_blocks_read_the_inputs_of_the_blocks_before_them(words, layers):
    model = mixed_model(*words)
    inputs, readings = [], []

    def record(part, args, output):
        inputs.append(args[1])
        readings.append((args[0], output))

    for visit in model.routes["plain"].visits:
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
        earlier = inputs[index - 1] if index else x0
        torch.testing.assert_close(reading, part.mix[0] * u + part.mix[1] * earlier)


def test_the_first_form_mixes_outputs_by_a_softmax_in_the_place_of_the_residual_mix():
    """u = p₀·x + Σ p_k·(output k blocks back), p = softmax(w): no r, and no skip in what came before."""
    model = mixed_model(*SOFTMAX)
    read, left = {}, {}

    class Watched(Block):
        def read(self, x_BTD, context, mix=None):
            u_BTD = super().read(x_BTD, context, mix)
            read[self.visit.virtual] = (x_BTD, u_BTD)
            return u_BTD

        def leave(self, y_BTD, x_BTD, context):
            left[self.visit.virtual] = super().leave(y_BTD, x_BTD, context)
            return left[self.visit.virtual]

    make = model.block
    model.block = lambda visit: Watched(*(getattr(make(visit), name) for name in FIELDS))
    model.hidden(ids())
    x0 = model.embed(ids())
    for index in range(6):
        x, u = read[index]
        if index < 2:
            torch.testing.assert_close(u, 0.8 * x + 0.3 * x0)
            continue
        (part,) = model.addons.block_sites[f"{index}_0"]["read"]
        p = part.mix.softmax(0)
        earlier = [left[index - k] if index >= k else x0 for k in (1, 2, 3)]
        torch.testing.assert_close(u, p[0] * x + sum(w * y for w, y in zip(p[1:], earlier, strict=True)))
        assert torch.equal(x, left[index - 1]) == (index == 2)  # from 3 on a skip has entered the input


def test_the_first_form_by_numbers():
    context = ForwardContext(torch.zeros(1, 1), torch.full((1, 1, 1), 100.0))
    part = ConnectOutputs([0.0, math.log(3.0)], lowest=1)  # softmax: 1/4 and 3/4
    keep = KeepOutput(1)
    one = torch.ones(1, 1, 1)
    context.visit = Visit(1, 1, 0, "encoder", "1_0")
    assert part(-one, 8 * one, context).item() == pytest.approx(2.0 + 75.0)  # no block before it: x0
    keep(4 * one, one, context)
    assert part(-one, 8 * one, context).item() == pytest.approx(2.0 + 3.0)
    context.visit = Visit(0, 0, 0, "encoder", "0_0")
    assert part(-one, 8 * one, context).item() == -1.0  # below the top blocks the residual mix stands


def test_the_residual_mix_gets_no_gradient_in_the_first_form():
    model = tiny_model(*SOFTMAX)
    randomise(model)
    model.loss(ids(), ids(seed=1)).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None}
    assert idle == {f"controls.{name}" for name in IDLE}


def test_what_is_kept_is_the_output_after_all_other_parts_of_the_block():
    model = tiny_model("arch/addon=[hyper_connections,value_residual_x0,token_gate]", f"{NODE}.weights=softmax")
    names = [type(part).__name__ for part in model.addons.block_sites["3_0"]["block_out"]]
    assert names == ["Shortcut", "GatedBlock", "KeepOutput"]


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
