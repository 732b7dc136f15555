"""Each variant is its published formula; the mask keeps documents apart; C starts as the identity."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.base import rms_norm
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import BOS, ids, tiny_model

NODE = "arch.addons.smear_gate"
VARIANTS = ("a", "b", "c")


def words(variant, mask=True):
    return "arch/addon=[smear_gate]", f"{NODE}.variant={variant}", f"{NODE}.bos_mask={mask}"


def smear_model(variant, mask=True):
    return tiny_model(*words(variant, mask))


def part_of(model):
    return model.addons.parts["smear_gate"]


def opened(variant, mask=True):
    """A model whose gate is away from its start."""
    model = smear_model(variant, mask)
    with torch.no_grad():
        for parameter in part_of(model).parameters():
            parameter.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_causal(variant, mask):
    assert_causal(opened(variant, mask))


@pytest.mark.parametrize("variant", VARIANTS)
def test_properties_of_every_addon(variant):
    assert_partitioned(smear_model(variant))
    assert_finite_under_bf16(smear_model(variant))


@pytest.mark.parametrize("variant", ["a", "c"])
def test_it_compiles_as_one_graph(variant):
    assert_one_graph(tiny_model(*words(variant), "arch.layers=1"), logits=True)


def test_a_blends_after_the_norm_and_halves_the_first_token():
    model = smear_model("a", mask=False)
    x = rms_norm(F.embedding(ids(), model.embedding))
    torch.testing.assert_close(model.embed(ids())[:, 0], 0.5 * x[:, 0])
    torch.testing.assert_close(model.embed(ids())[:, 1:], 0.5 * (x[:, 1:] + x[:, :-1]))


def test_b_blends_before_the_norm_and_keeps_most_of_the_token():
    model = smear_model("b", mask=False)
    x = F.embedding(ids(), model.embedding)
    keep = torch.sigmoid(torch.tensor(3.0))
    assert keep.item() == pytest.approx(0.953, abs=1e-3)
    torch.testing.assert_close(model.embed(ids())[:, 1:], rms_norm(keep * x[:, 1:] + (1 - keep) * x[:, :-1]))


def test_c_is_the_published_formula():
    model = opened("c", mask=False)
    part, x = part_of(model), F.embedding(ids(), model.embedding)
    gate = part.strength * torch.sigmoid(x[..., :12] @ part.gate)[..., None]
    torch.testing.assert_close(model.embed(ids())[:, 1:], rms_norm(x[:, 1:] + gate[:, 1:] * x[:, :-1]))
    assert torch.equal(model.embed(ids())[:, 0], rms_norm(x[:, 0]))


def test_c_is_the_identity_at_the_start_and_its_gate_learns_after_one_step():
    plain, model = tiny_model(), smear_model("c")
    assert torch.equal(model.logits(ids()), plain.logits(ids()))
    one_step(model)
    assert part_of(model).strength.grad.any() and not part_of(model).gate.grad.any()
    model.zero_grad()
    one_step(model, seed=1)
    assert part_of(model).gate.grad.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mask_keeps_a_document_out_of_the_next_ones_first_token(variant):
    first = ids(1, 16)
    first[0, 8] = BOS
    second = first.clone()
    second[0, 3:8] = (second[0, 3:8] + 11) % 90 + 2
    masked, leaking = opened(variant, mask=True), opened(variant, mask=False)
    assert torch.equal(masked.embed(first)[0, 8:], masked.embed(second)[0, 8:])
    assert not torch.equal(leaking.embed(first)[0, 8], leaking.embed(second)[0, 8])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mask_changes_nothing_but_a_bos(variant):
    masked, open_ended = opened(variant, mask=True), opened(variant, mask=False)
    open_ended.load_state_dict(masked.state_dict())
    same = (masked.embed(ids()) == open_ended.embed(ids())).all(-1)
    assert torch.equal(same, ids() != BOS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_masked_bos_keeps_itself_whole(variant):
    tokens = ids(1, 16)
    tokens[0, 0] = tokens[0, 8] = BOS
    model = opened(variant)
    expected = rms_norm(model.embedding[BOS])
    for position in (0, 8):
        torch.testing.assert_close(model.embed(tokens)[0, position], expected)


def test_published_parameter_counts():
    assert added_at_record("smear_gate") == 13
    assert added_at_record("smear_gate", f"{NODE}.variant=a") == 512
    assert added_at_record("smear_gate", f"{NODE}.variant=b") == 512


def test_all_its_parameters_are_controls():
    for variant in VARIANTS:
        specs = smear_model(variant).param_specs()
        for name, spec in specs.items():
            if "smear_gate" in name:
                assert (spec.group, spec.storage) == ("scalar", "keep_fp32")


def test_a_window_wider_than_the_model_is_refused():
    with pytest.raises(ConfigError, match="more than the width, 32"):
        tiny_model("arch/addon=[smear_gate]", f"{NODE}.window=33")
