"""Pre-enrichment maps each position by itself, replaces the embedding, and tells how far it moved it."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.addon.pre_enrichment import pe_delta
from pgolf.arch.base import rms_norm
from pgolf.arch.step.feed import Feed
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, tiny_model

NODE = "arch.addons.pre_enrichment"
FORMS = {
    "wide gelu": (),
    "square gelu": (f"{NODE}.hidden=32",),
    "square linear": (f"{NODE}.form=linear", f"{NODE}.hidden=32"),
}


def enriched(*words):
    return tiny_model("arch/addon=[pre_enrichment]", *words)


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_it_is_causal(words):
    assert_causal(enriched(*words))


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_properties_of_every_addon(words):
    assert_partitioned(enriched(*words))
    assert_finite_under_bf16(enriched(*words))


def test_it_compiles_as_one_graph():
    assert_one_graph(tiny_model("arch/addon=[pre_enrichment]", "arch.layers=1"), logits=True)


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_no_position_reads_another(words):
    model = enriched(*words)
    tokens = ids()
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 90 + 2
    same = (model.embed(tokens) == model.embed(changed)).all(-1)
    assert not same[:, 5].any() and same[:, :5].all() and same[:, 6:].all()


def test_the_linear_form_is_its_product_matrix():
    model = enriched(f"{NODE}.form=linear")
    part = model.addons.parts["pre_enrichment"]
    x = torch.randn(2, 5, 32)
    product = part.down.weight @ part.up.weight
    torch.testing.assert_close(part(x, None), x @ product.T)


def test_the_gelu_form_has_no_residual():
    model = enriched()
    part = model.addons.parts["pre_enrichment"]
    x = F.embedding(ids(), model.embedding)
    expected = F.gelu(x @ part.up.weight.T) @ part.down.weight.T
    torch.testing.assert_close(model.embed(ids()), rms_norm(expected))


def test_delta_is_the_distance_moved_before_the_norm():
    model = enriched("arch/addon=[pre_enrichment,smear_gate,bigram_hash]", "arch.addons.smear_gate.variant=b")
    received = {}
    part = model.addons.parts["pre_enrichment"]
    part.register_forward_pre_hook(lambda _, args: received.update(x=args[0]))
    model.embed(ids())
    x = received["x"]
    assert pe_delta(model, ids()).shape == ids().shape
    torch.testing.assert_close(pe_delta(model, ids()), (part.enrich(x) - x).norm(dim=-1))
    torch.testing.assert_close(part.delta(x), pe_delta(model, ids()))


def test_a_model_without_it_has_no_delta():
    with pytest.raises(ConfigError, match="needs pre_enrichment"):
        pe_delta(tiny_model(), ids())


def test_front_end_order_is_bigram_then_smear_then_enrichment():
    words = "arch/addon=[pre_enrichment,smear_gate,bigram_hash]"
    before = tiny_model(words).addons.model_sites
    assert [type(p).__name__ for p in before["embedding"]] == ["BigramEmbedding", "InputGated", "Enrich"]
    after = tiny_model(words, "arch.addons.smear_gate.variant=a").addons.model_sites
    assert [type(p).__name__ for p in after["embedding"]] == ["BigramEmbedding", "Enrich"]
    assert [type(p).__name__ for p in after["stream"]] == ["Blend"]


def test_published_parameter_count_and_groups():
    assert added_at_record("pre_enrichment") == 786_432
    specs = enriched().param_specs()
    assert all(s.group == s.storage == "matrix" for n, s in specs.items() if "pre_enrichment" in n)


def test_how_far_it_moved_a_token_can_be_asked_for_whole_or_piece_by_piece():
    model = tiny_model("arch=pr187").eval().requires_grad_(False)
    assert model.widths()["moved"] == 1
    plain, (x_BTD, told) = model.hidden(ids()), model.hidden_and(ids(), ["moved"])
    assert torch.equal(x_BTD, plain) and torch.equal(told["moved"], pe_delta(model, ids())[..., None])
    feed, found = Feed(model), []
    for piece in ids().split(8, dim=1):
        found.append(feed.hidden_and(piece, ["moved"])[1]["moved"])
        feed.commit()
    torch.testing.assert_close(torch.cat(found, 1), told["moved"])
