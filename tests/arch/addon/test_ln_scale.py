import pytest
import torch

from pgolf.arch.addon.ln_scale import depth_scale
from pgolf.arch.visits import route
from tests.arch.addon.checks import added_parameters, assert_sound, context_of
from tests.helpers import randomise, tiny_model

INPUT = "arch/addon=[ln_scale]"
VISITS = route("recurrent", [0, 1, 2, 3, 2, 3, 4, 5]).visits


def test_ln_scale_is_causal_compiles_and_stays_finite():
    assert_sound(INPUT)


def test_ln_scale_has_neither_parameters_nor_saved_buffers():
    assert added_parameters(INPUT) == 0
    assert tiny_model(INPUT).state_dict().keys() == tiny_model().state_dict().keys()


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("physical", [0, 1, 2, 3, 2, 3, 4, 5]),
        ("virtual", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("repeats_virtual", [0, 1, 2, 3, 4, 5, 4, 5]),
    ],
)
def test_the_factor_is_the_inverse_root_of_the_index(index, expected):
    assert [depth_scale(v, index) for v in VISITS] == pytest.approx([(i + 1) ** -0.5 for i in expected])


def test_attention_writes_s_times_and_a_squared_mlp_s_squared_times_what_it_wrote():
    scaled, plain = tiny_model(INPUT), tiny_model()
    randomise(plain)
    scaled.load_state_dict(plain.state_dict())
    visit = plain.routes["plain"].visits[3]
    u = torch.randn(2, 24, 32)
    context = context_of(visit)
    block, before = scaled.block(visit), plain.block(visit)
    torch.testing.assert_close(block.attend(u, context), 0.5 * before.attend(u, context))
    torch.testing.assert_close(block.feed_forward(u, context), 0.25 * before.feed_forward(u, context))
