"""Values are mixed with the first layer's; at λ = (0, 1) nothing changes; the first layer owns no λ."""

import pytest
import torch

from pgolf.arch.addon.value_residual_v0 import FirstValues, Mix
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model

WORD = "arch/addon=[value_residual_v0]"
NODE = "arch.addons.value_residual_v0"
FORMS = {"raw": (WORD,), "sigmoid": (WORD, f"{NODE}.squash=sigmoid")}


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_it_is_causal(words):
    assert_causal(tiny_model(*words))


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_properties_of_every_addon(words):
    assert_partitioned(tiny_model(*words))
    assert_finite_under_bf16(tiny_model(*words))


def test_it_compiles_as_one_graph():
    assert_one_graph(tiny_model(WORD, "arch.layers=2"), logits=True)


@pytest.mark.parametrize(("words", "weight"), [(FORMS["raw"], 0.5), (FORMS["sigmoid"], 0.6225)], ids=FORMS)
def test_values_are_the_weighted_sum_with_the_first_layers(words, weight):
    model = tiny_model(*words)
    randomise(model)
    seen = []
    for module in model.modules():
        if isinstance(module, (FirstValues, Mix)):
            module.register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
    model.hidden(ids())
    first = seen[0][1]
    assert torch.equal(seen[0][0], first) and len(seen) == 6
    for own, mixed in seen[1:]:
        torch.testing.assert_close(mixed, weight * (first + own), rtol=1e-3, atol=1e-5)


def test_weight_one_on_its_own_values_is_the_plain_model():
    plain, model = tiny_model(), tiny_model(WORD, f"{NODE}.first=0.0", f"{NODE}.own=1.0")
    model.load_state_dict(plain.state_dict(), strict=False)
    randomise(plain)
    randomise(model)
    torch.testing.assert_close(model.logits(ids()), plain.logits(ids()))


def test_the_first_layer_owns_no_weights_and_the_others_learn():
    model = tiny_model(WORD)
    mixes = [name for name, _ in model.named_parameters() if "value_residual" in name]
    assert mixes == [f"addons.parts.value_residual_v0_{i}_0.mix" for i in range(1, 6)]
    one_step(model)
    model.zero_grad()
    one_step(model, seed=1)
    parameters = dict(model.named_parameters())
    assert all(parameters[name].grad.all() for name in mixes)


def test_parameter_count_and_groups():
    assert added_at_record("value_residual_v0") == 20
    for name, spec in tiny_model(WORD).param_specs().items():
        if "value_residual" in name:
            assert (spec.group, spec.storage) == ("scalar", "keep_fp32")


def test_a_first_layer_without_attention_is_refused():
    with pytest.raises(ConfigError, match="layer 0, which has no attention"):
        tiny_model(WORD, "arch.no_attention=[0]")
    with pytest.raises(ConfigError, match=r"layer 0, .* name it in arch\.attention_layers"):
        tiny_model(WORD, "arch=mamba_hybrid")
    assert_causal(tiny_model(WORD, "arch=mamba_hybrid", "arch.attention_layers=[0,4]"))


def test_a_later_layer_without_attention_mixes_nothing():
    model = tiny_model(WORD, "arch.no_attention=[3]")
    assert not model.addons.block_sites["3_0"]["value"]
    assert torch.isfinite(model.loss(ids(), ids(seed=1)))


def test_a_second_visit_to_the_first_layer_does_not_replace_its_values():
    model = tiny_model(WORD, "arch/recurrence=encoder")
    randomise(model)
    first, taken = [], []
    for module in model.modules():
        if isinstance(module, FirstValues):
            module.register_forward_hook(lambda _, args, output: first.append(output))
        if isinstance(module, Mix):
            module.register_forward_hook(lambda _, args, output: taken.append(args[1].shared["value_residual_v0"]))
    model.hidden(ids())
    assert len(taken) > 5 and all(values is first[0] for values in taken)
    assert_causal(model)
