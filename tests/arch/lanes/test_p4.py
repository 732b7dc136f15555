"""P4: both sublayers write at once, the MLP reads its lane raw; neutral it is P3."""

import pytest
import torch

from pgolf.arch.block import ForwardContext
from tests.arch.lane_claims import (
    assert_lanes_are_sound,
    gradients_after_one_step,
    hidden,
    neutral,
    record_lane_parameters,
    repeat_start_layer,
)
from tests.helpers import ids, tiny_model

WORDS = ("arch/lanes=p4",)
NEUTRAL = {"keep": 1.0, "attention_writes": 1.0, "mlp_writes": 1.0}


def without_late_skips(model):
    """No skip after the split: of the three, the last popped enters at layer 5."""
    with torch.no_grad():
        model.skip_weights[2].zero_()
    return model


@pytest.mark.parametrize("merge", ["mean", "mlp", "attn"])
def test_neutral_lanes_equal_the_side_by_side_block(merge):
    lanes = without_late_skips(neutral(tiny_model(*WORDS, f"arch.lanes.merge={merge}"), NEUTRAL))
    side_by_side = without_late_skips(neutral(tiny_model("arch/lanes=p3"), {}))
    torch.testing.assert_close(hidden(lanes), hidden(side_by_side))


def test_neutral_lanes_equal_the_side_by_side_block_when_recurrence_overlaps_the_start_layer():
    lanes, side_by_side = (
        repeat_start_layer(without_late_skips(model))
        for model in (neutral(tiny_model(*WORDS), NEUTRAL), neutral(tiny_model("arch/lanes=p3"), {}))
    )
    torch.testing.assert_close(hidden(lanes), hidden(side_by_side))


def test_lanes_are_causal_grouped_compiled_and_finite():
    assert_lanes_are_sound(WORDS)
    assert_lanes_are_sound((*WORDS, "arch.lanes.split_skip=lane0", "arch.lanes.merge=mlp"))


def test_every_lambda_has_a_gradient_after_one_step():
    grads = gradients_after_one_step(WORDS)
    assert grads.keys() == {"keep", "attention_writes", "mlp_writes"}
    assert all(grad.ne(0).all() for grad in grads.values())


def test_the_block_is_the_published_formula_and_the_mlp_reads_its_raw_lane():
    model = neutral(tiny_model(*WORDS), {})
    lanes, context = model.lanes, ForwardContext(ids(), torch.randn(2, 24, 32))
    for parameter in (*lanes.parameters(), model.controls["5_0"].residual_mix):
        torch.nn.init.normal_(parameter)
    block = model.block(model.routes["plain"].visits[5])
    lane0, lane1 = torch.randn(2, 2, 24, 32)
    rho, pi0, pi1 = lanes.keep[1], lanes.attention_writes[1], lanes.mlp_writes[1]
    a = block.attend(block.read(lane0, context), context)
    m = block.feed_forward(lane1, context)
    found = lanes.run(block, (lane0, lane1), context)
    torch.testing.assert_close(found[0], rho[0] * lane0 + pi0[0] * a + pi1[0] * m)
    torch.testing.assert_close(found[1], rho[1] * lane1 + pi0[1] * a + pi1[1] * m)


@pytest.mark.parametrize("split_skip, expected", [("both", (3,)), ("lane0", (3, 0))])
def test_the_skip_at_the_split_enters_before_or_after_it(split_skip, expected):
    model = tiny_model(*WORDS, f"arch.lanes.split_skip={split_skip}")
    before, first, later = model.routes["plain"].visits[3:6]
    zero = torch.zeros(1)

    def add(x):
        return x + 3

    assert model.lanes.add_skip((zero,), add, before) == (3,)
    assert model.lanes.add_skip((zero,), add, first) == expected
    assert model.lanes.add_skip((zero, zero), add, later) == (3, 0)


def test_the_published_66_scalars_are_there_on_demand():
    assert record_lane_parameters(*WORDS, "arch.lanes.start=8") == 6 * 3
    assert record_lane_parameters(*WORDS, "arch.lanes.start=8", "arch.lanes.allocate=all") == 66


@pytest.mark.parametrize("merge, share", [("mean", 0.5), ("mlp", 0.0), ("attn", 1.0)])
def test_the_head_reads_the_chosen_lane(merge, share):
    lanes = tiny_model(*WORDS, f"arch.lanes.merge={merge}").lanes
    assert lanes.merge((torch.ones(1), torch.zeros(1))) == share
