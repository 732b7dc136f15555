"""Repeated visits get matrices of their own, which start as copies and change apart."""

import copy

import pytest
import torch

from pgolf.arch.untie import untie_recurrence
from pgolf.optimizer.muon_adamw import partition
from tests.arch.recurrence.checks import count, stir
from tests.helpers import ids, tiny_model

WORD = "arch/recurrence=shared"


def blocks(model, physical):
    return [model.block(v) for v in model.routes["recurrent"].visits if v.physical == physical]


def test_untying_keeps_the_outputs_and_gives_independent_matrices():
    model = stir(tiny_model(WORD)).eval()
    before, size = model.logits(ids()), count(model)
    untie_recurrence(model)
    torch.testing.assert_close(model.logits(ids()), before, rtol=0, atol=0)
    matrices = sum(p.numel() for i in (2, 3) for p in model.layers[i].parameters())
    assert count(model) == size + matrices
    first, again = blocks(model, 2)
    for shared, own in zip(first.layer.parameters(), again.layer.parameters(), strict=True):
        assert shared.data_ptr() != own.data_ptr() and own.requires_grad
    kept = first.mlp.down.weight.clone()
    with torch.no_grad():
        again.mlp.down.weight.add_(1.0)
    assert torch.equal(first.mlp.down.weight, kept)
    assert not torch.allclose(model.logits(ids()), before)


def test_a_shared_matrix_has_the_sum_of_the_gradients_of_its_copies():
    """So that at one rate descent moves what is tied about twice as far (spec ttt §4)."""
    tied = stir(tiny_model(WORD))
    untied = copy.deepcopy(tied)
    untie_recurrence(untied)
    for model in (tied, untied):
        model.loss(ids(), ids(seed=1)).backward()
    for i in (2, 3):
        layers = tied.layers[i], untied.layers[i], untied.own_layers[f"{i}_1"]
        for shared, first, again in zip(*(layer.parameters() for layer in layers), strict=True):
            assert first.grad.any() and again.grad.any() and not torch.allclose(first.grad, again.grad)
            torch.testing.assert_close(shared.grad, first.grad + again.grad, rtol=1e-4, atol=1e-7)


def test_untying_twice_is_untying_once():
    model = stir(tiny_model(WORD))
    untie_recurrence(model)
    names, own = list(model.state_dict()), model.own_layers["2_1"]
    with torch.no_grad():
        own.mlp.down.weight.add_(1.0)
    before = model.logits(ids())
    untie_recurrence(model)
    assert list(model.state_dict()) == names and model.own_layers["2_1"] is own
    assert torch.equal(model.logits(ids()), before)


@pytest.mark.parametrize(
    "words",
    [
        (WORD,),
        ("arch/recurrence=mini", "arch.recurrence.untie_mlp=down"),
        ("arch/recurrence=mini",),
        ("arch/recurrence=encoder",),
        ("arch/recurrence=stack_loop",),
        ("arch/recurrence=segment_loop",),
        ("arch/recurrence=unet_loop",),
    ],
    ids=" ".join,
)
def test_every_form_can_be_untied_before_an_optimizer_is_built(words):
    model = stir(tiny_model(*words))
    model.activate(list(model.routes)[-1])
    before = model.logits(ids())
    untie_recurrence(model)
    torch.testing.assert_close(model.logits(ids()), before, rtol=0, atol=0)
    groups = partition(model)
    own = {id(p) for p in model.own_layers.parameters()}
    assert own <= {id(p) for p in groups["matrix"]}
    model.train()
    model.loss(ids(), ids(seed=1)).backward()
    assert all(p.grad is not None for p in model.own_layers.parameters())
    assert not model.aliases()
