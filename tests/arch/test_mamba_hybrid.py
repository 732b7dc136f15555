"""The hybrid has the published size, state-space layers where it should, and refuses what no source defines."""

import pytest
import torch

from pgolf.arch.ssd import SSD
from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.arch.addon.checks import assert_finite_under_bf16
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model

HYBRID = "arch=mamba_hybrid"


def test_record_size_has_the_published_parameter_counts():
    words = ["size=record", "tokenizer=sp1024", HYBRID, "arch.layers=10", "arch.ssm_state=16"]
    arch = settings(compose(words))["arch"]
    with torch.device("meta"):
        model = make(arch, vocab_size=1024, bos_id=1)
    assert sum(p.numel() for p in model.parameters()) == 17_885_904
    for index, layer in enumerate(model.layers):
        assert isinstance(layer.mixer, SSD) == (layer.mlp is None) == (index not in (7, 9))
    block = [*model.layers[0].parameters(), *model.controls["0_0"].parameters()]
    assert sum(p.numel() for p in block) == 1_710_616


@pytest.mark.parametrize("attention", ["[3,5]", "[]", "[0]"])
def test_the_hybrid_is_causal(attention):
    assert_causal(tiny_model(HYBRID, f"arch.attention_layers={attention}"))


def test_the_hybrid_compiles_as_one_graph():
    assert_one_graph(tiny_model(HYBRID, "arch.layers=2", "arch.attention_layers=[1]"))


def test_the_hybrid_stays_finite_in_bf16():
    assert_finite_under_bf16(tiny_model(HYBRID))


def test_every_parameter_is_trained_the_convolution_too():
    model = tiny_model(HYBRID)
    assert model.param_specs().keys() == dict(model.named_parameters()).keys()
    before = model.layers[0].mixer.conv.detach().clone()
    for seed in range(2):
        model.zero_grad(set_to_none=True)
        one_step(model, seed)
    mixer = model.layers[0].mixer
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert not torch.equal(mixer.conv, before)


def test_every_block_is_a_no_op_at_the_start():
    model = tiny_model(HYBRID)
    for layer in model.layers:
        assert not (layer.mixer.out.weight).any()
    assert model.controls["0_0"].q_gain is None and not hasattr(model.controls["0_0"], "mlp_scale")


def test_the_chunk_length_does_not_change_the_model():
    one, other = tiny_model(HYBRID, "arch.ssm_chunk=5"), tiny_model(HYBRID, "arch.ssm_chunk=64")
    randomise(one)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one.logits(ids()), other.logits(ids()), rtol=1e-4, atol=1e-5)


def test_attention_addons_go_to_attention_layers_only():
    model = tiny_model(HYBRID, "arch/addon=[gate_output,canon,ln_scale]")
    state_space, attention = (model.addons.block_sites[key] for key in ("2_0", "3_0"))
    assert not state_space["heads"] and attention["heads"]
    assert len(state_space["attention_in"]) == 2
    assert all(type(part).__name__ == "DepthScale" for part in state_space["mlp_in"])
    assert_causal(model)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arch.attention_layers=[3,6]"], r"attention_layers: \[6\] out of range; the layers are 0..5"),
        (["arch/recurrence=shared"], "arch/recurrence: shared is not defined for arch=mamba_hybrid"),
        (["arch/lanes=p4"], "arch/lanes: p4 is not defined for arch=mamba_hybrid"),
        (["arch/addon=[xsa]"], "arch/addon: xsa is not defined for arch=mamba_hybrid"),
        (["arch/addon=[value_embedding]"], "arch/addon: value_embedding is not defined"),
        (["arch.ssm_heads=7"], "ssm_inner: 64 is no multiple of arch.ssm_heads = 7"),
    ],
)
def test_what_no_source_defines_is_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        tiny_model(HYBRID, *words)


def test_all_problems_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        tiny_model(HYBRID, "arch/lanes=p4", "arch/recurrence=mini", "arch/addon=[xsa]")
    assert len(caught.value.problems) == 3
