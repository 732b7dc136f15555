"""The x0 shortcut adds λ·x0 after a block: nothing at the start, and independent of value_residual_v0."""

import torch

from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model

WORD = "arch/addon=[value_residual_x0]"
OPEN = "arch.addons.value_residual_x0.start=0.4"


def test_it_is_causal():
    assert_causal(tiny_model(WORD, OPEN))


def test_properties_of_every_addon():
    assert_partitioned(tiny_model(WORD))
    assert_finite_under_bf16(tiny_model(WORD))


def test_it_compiles_as_one_graph():
    assert_one_graph(tiny_model(WORD, OPEN, "arch.layers=1"), logits=True)


def test_it_is_the_identity_at_the_start_and_learns_at_once():
    plain, model = tiny_model(), tiny_model(WORD)
    randomise(plain)
    model.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(model.logits(ids()), plain.logits(ids()))
    one_step(model)
    parts = [part for name, part in model.addons.parts.items() if name.startswith("value_residual_x0")]
    assert len(parts) == 6 and all(part.strength.grad.any() for part in parts)


def test_a_block_without_effect_leaves_with_the_share_of_x0():
    model = tiny_model(WORD, OPEN, "arch.layers=1")
    x0 = model.embed(ids())
    stream, _ = model.trunk(ids(), None)
    from pgolf.arch.base import rms_norm

    torch.testing.assert_close(stream, rms_norm(1.4 * x0))


def test_both_value_residuals_live_together():
    model = tiny_model("arch/addon=[value_residual_x0,value_residual_v0]", OPEN)
    assert_causal(model)


def test_one_scalar_per_visit():
    assert added_at_record("value_residual_x0") == 11
    for name, spec in tiny_model(WORD).param_specs().items():
        if "value_residual" in name:
            assert (spec.group, spec.storage) == ("scalar", "keep_fp32")
