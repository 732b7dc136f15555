"""P3: attention and MLP side by side on one stream, without a parameter."""

import torch

from pgolf.arch.base import rms_norm
from tests.arch.lane_claims import assert_lanes_are_sound, hidden, neutral
from tests.helpers import ids, tiny_model

WORDS = ("arch/lanes=p3",)


def test_both_sublayers_read_the_same_stream():
    from pgolf.arch.block import ForwardContext

    model = neutral(tiny_model(*WORDS), {})
    controls, context = model.controls["5_0"], ForwardContext(ids(), torch.randn(2, 24, 32))
    torch.nn.init.normal_(controls.residual_mix)
    block = model.block(model.routes["plain"].visits[5])
    x = torch.randn(2, 24, 32)
    u = controls.residual_mix[0] * x + controls.residual_mix[1] * context.x0_BTD
    attended = model.layers[5].mixer(rms_norm(u), controls.q_gain, block.sites, context)
    expected = u + controls.mixer_scale * attended + controls.mlp_scale * model.layers[5].mlp(rms_norm(u))
    (found,) = model.lanes.run(block, (x,), context)
    torch.testing.assert_close(found, expected)


def test_it_owns_no_parameter_and_leaves_lower_layers_sequential():
    late = neutral(tiny_model(*WORDS, "arch.lanes.start=5"), {})
    assert not list(late.lanes.parameters())
    with torch.no_grad():
        for model in (late, plain := neutral(tiny_model(), {})):
            model.layers[5].mlp.down.weight.zero_()
    torch.testing.assert_close(hidden(late), hidden(plain))


def test_it_may_start_at_layer_0_and_under_any_recurrence():
    assert_lanes_are_sound((*WORDS, "arch.lanes.start=0"))


def test_it_is_causal_compiled_and_finite():
    assert_lanes_are_sound(WORDS)
