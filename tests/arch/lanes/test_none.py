import torch

from pgolf.arch.base import rms_norm
from pgolf.arch.block import ForwardContext
from tests.helpers import ids, randomise, tiny_model


def test_one_stream_runs_attention_then_the_mlp():
    model = tiny_model()
    randomise(model)
    x = torch.randn(2, 24, 32)
    context = ForwardContext(ids(), torch.randn(2, 24, 32))
    controls = model.controls["0_0"]
    torch.nn.init.normal_(controls.residual_mix)
    visit = model.routes["plain"].visits[0]
    block = model.block(visit)
    u = controls.residual_mix[0] * x + controls.residual_mix[1] * context.x0_BTD
    u = u + controls.mixer_scale * model.layers[0].mixer(rms_norm(u), controls.q_gain, block.sites, context)
    u = u + controls.mlp_scale * model.layers[0].mlp(rms_norm(u))
    (found,) = model.lanes.run(block, (x,), context)
    torch.testing.assert_close(found, u)
