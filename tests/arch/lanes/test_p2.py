"""P2: both sublayers write from the lanes as they were; a learned scalar joins the lanes."""

import torch

from pgolf.arch.block import ForwardContext
from tests.arch.lane_claims import (
    assert_lanes_are_sound,
    gradients_after_one_step,
    hidden,
    neutral,
    record_lane_parameters,
)
from tests.helpers import ids, tiny_model

WORDS = ("arch/lanes=p2",)


def test_at_its_start_it_is_the_side_by_side_block():
    side_by_side = neutral(tiny_model("arch/lanes=p3"), {})
    torch.testing.assert_close(hidden(neutral(tiny_model(*WORDS), {})), hidden(side_by_side))


def test_lanes_are_causal_grouped_compiled_and_finite():
    assert_lanes_are_sound(WORDS)


def test_routes_and_the_mix_of_the_mlp_have_gradients_after_one_step():
    grads = gradients_after_one_step(WORDS)
    assert grads["routes"].ne(0).all() and grads["mlp_mix"].any()
    assert grads.keys() == {"routes", "mlp_mix", "lane_merge"}


def test_the_merge_has_a_gradient_once_the_lanes_differ():
    model = neutral(tiny_model(*WORDS), {"routes": 0.5})
    with torch.no_grad():
        model.lanes.routes[:, 0] = 0.9
    model.loss(ids(), ids(seed=1)).backward()
    assert model.lanes.lane_merge.grad.any()


def test_the_block_is_the_published_formula():
    model = neutral(tiny_model(*WORDS), {})
    lanes, context = model.lanes, ForwardContext(ids(), torch.randn(2, 24, 32))
    for parameter in (*lanes.parameters(), model.controls["5_0"].residual_mix):
        torch.nn.init.normal_(parameter)
    block = model.block(model.routes["plain"].visits[5])
    lane0, lane1 = torch.randn(2, 2, 24, 32)
    t, s = lanes.routes[1], lanes.mlp_mix[1]
    a = block.attend(block.read(lane0, context), context)
    m = block.feed_forward(s[0] * lane1 + s[1] * context.x0_BTD, context)
    found = lanes.run(block, (lane0, lane1), context)
    torch.testing.assert_close(found[0], lane0 + t[0] * a + t[2] * m)
    torch.testing.assert_close(found[1], lane1 + t[1] * a + t[3] * m)
    mu = lanes.lane_merge
    torch.testing.assert_close(lanes.merge(found), mu * found[0] + (1 - mu) * found[1])


def test_it_owns_routes_a_mix_and_the_merge():
    assert record_lane_parameters(*WORDS) == 4 * (4 + 2 * 512) + 1
