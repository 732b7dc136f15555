"""P1: two lanes written in turn; neutral it is the plain model."""

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

WORDS = ("arch/lanes=p1",)
NEUTRAL = {"keep": 1.0, "attention_writes": 1.0, "mlp_writes": 1.0}


def test_neutral_lanes_equal_plain_sequential_blocks():
    torch.testing.assert_close(hidden(neutral(tiny_model(*WORDS), NEUTRAL)), hidden(neutral(tiny_model(), {})))


def test_neutral_lanes_equal_plain_blocks_when_recurrence_overlaps_the_start_layer():
    lanes = repeat_start_layer(neutral(tiny_model(*WORDS), NEUTRAL))
    plain = repeat_start_layer(neutral(tiny_model(), {}))
    torch.testing.assert_close(hidden(lanes), hidden(plain))


def test_lanes_are_causal_grouped_compiled_and_finite():
    assert_lanes_are_sound(WORDS)


def test_every_lambda_has_a_gradient_after_one_step():
    grads = gradients_after_one_step(WORDS)
    assert grads.keys() == {"keep", "attention_writes", "mlp_writes"}
    assert all(grad.ne(0).all() for grad in grads.values())


def test_the_block_is_the_published_formula_and_x0_enters_reads_only():
    model = neutral(tiny_model(*WORDS), {})
    lanes, context = model.lanes, ForwardContext(ids(), torch.randn(2, 24, 32))
    for parameter in (*lanes.parameters(), model.controls["5_0"].residual_mix):
        torch.nn.init.normal_(parameter)
    block = model.block(model.routes["plain"].visits[5])
    lane0, lane1 = torch.randn(2, 2, 24, 32)
    rho, pi0, pi1 = lanes.keep[1], lanes.attention_writes[1], lanes.mlp_writes[1]
    a = block.attend(block.read(lane0, context), context)
    b0, b1 = rho[0] * lane0 + pi0[0] * a, rho[0] * lane1 + pi0[1] * a
    m = block.feed_forward(block.read(b1, context), context)
    found = lanes.run(block, (lane0, lane1), context)
    torch.testing.assert_close(found[0], rho[1] * b0 + pi1[0] * m)
    torch.testing.assert_close(found[1], rho[1] * b1 + pi1[1] * m)
    torch.testing.assert_close(lanes.merge(found), 0.5 * (found[0] + found[1]))


def test_skips_enter_both_lanes():
    lanes = tiny_model(*WORDS).lanes
    visit = tiny_model().routes["plain"].visits[5]
    one, two = lanes.add_skip((torch.zeros(1), torch.ones(1)), lambda x: x + 3, visit)
    assert one == 3 and two == 4


def test_without_mlp_to_attention_writes_the_mlp_leaves_lane_0_alone():
    model = neutral(tiny_model("arch/lanes=p1_no_mlp_to_attention"), {})
    assert model.lanes.mlp_writes.shape == (2, 1)
    block, context = (
        model.block(model.routes["plain"].visits[4]),
        ForwardContext(ids(), torch.randn(2, 24, 32)),
    )
    x = torch.randn(2, 24, 32)
    a = block.attend(block.read(x, context), context)
    lane0, lane1 = model.lanes.run(block, (x,), context)
    torch.testing.assert_close(lane0, 1.1 * x + 1.1**0.5 * a)
    assert not torch.allclose(lane1, lane0)


def test_the_variant_is_as_sound_as_p1():
    assert_lanes_are_sound(("arch/lanes=p1_no_mlp_to_attention",))
    grads = gradients_after_one_step(("arch/lanes=p1_no_mlp_to_attention",))
    assert all(grad.ne(0).all() for grad in grads.values())


def test_only_layers_with_lanes_have_scalars_unless_the_published_66_are_wanted():
    assert record_lane_parameters(*WORDS) == 6 * 4
    assert record_lane_parameters(*WORDS, "arch.lanes.allocate=all") == 66
    all_layers = neutral(tiny_model(*WORDS, "arch.lanes.allocate=all"), {})
    torch.testing.assert_close(hidden(all_layers), hidden(neutral(tiny_model(*WORDS), {})))


def test_rho_starts_at_the_root_of_1_1():
    assert torch.allclose(tiny_model(*WORDS).lanes.keep.square(), torch.tensor(1.1))
