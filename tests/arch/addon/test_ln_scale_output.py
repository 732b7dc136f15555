import torch

from tests.arch.addon.checks import added_parameters, assert_sound, context_of
from tests.helpers import randomise, tiny_model

OUTPUT = "arch/addon=[ln_scale_output]"


def test_ln_scale_output_is_causal_compiles_and_stays_finite():
    assert_sound(OUTPUT)


def test_ln_scale_output_has_neither_parameters_nor_saved_buffers():
    assert added_parameters(OUTPUT) == 0
    assert tiny_model(OUTPUT).state_dict().keys() == tiny_model().state_dict().keys()


def test_both_sublayers_write_s_times_what_they_wrote():
    scaled, plain = tiny_model(OUTPUT), tiny_model()
    randomise(plain)
    scaled.load_state_dict(plain.state_dict())
    visit = plain.routes["plain"].visits[3]
    u = torch.randn(2, 24, 32)
    context = context_of(visit)
    block, before = scaled.block(visit), plain.block(visit)
    torch.testing.assert_close(block.attend(u, context), 0.5 * before.attend(u, context))
    torch.testing.assert_close(block.feed_forward(u, context), 0.5 * before.feed_forward(u, context))
