"""Numbers that all kernels share: the long-context rule, partial rotation, the gain of queries."""

import pytest
import torch

from pgolf.arch.attention.layer import Rotary
from pgolf.core.errors import ConfigError
from tests.arch.option_claims import assert_option_is_sound
from tests.helpers import tiny_model


def test_the_published_long_context_base_is_22082():
    rotary = Rotary(rotary=16, base=10_000.0, reference=1024, ntk=True)
    assert round(rotary.effective_base(2048)) == 22_082
    assert rotary.effective_base(1024) == 10_000.0


def test_with_the_rule_off_or_a_reference_of_2048_the_base_stays():
    assert Rotary(rotary=16, base=1e4, reference=1024, ntk=False).effective_base(2048) == 1e4
    assert Rotary(rotary=16, base=1e4, reference=2048, ntk=True).effective_base(2048) == 1e4


@pytest.mark.parametrize("dims", [3, 18])
def test_rotary_dimensions_are_even_and_within_the_head(dims):
    with pytest.raises(ConfigError, match=rf"arch\.attention\.rope_dims: {dims}"):
        tiny_model(f"arch.attention.rope_dims={dims}")


def test_the_long_context_rule_needs_four_rotary_dimensions():
    with pytest.raises(ConfigError, match=r"arch\.attention\.rope_ntk"):
        tiny_model("arch.attention.rope_dims=2", "arch.attention.rope_ntk=true")


def test_the_query_gain_is_where_training_starts():
    gains = [c.q_gain for c in tiny_model("arch.attention.qk_gain=5.25").controls.values()]
    assert all(torch.equal(gain, torch.full((2,), 5.25)) for gain in gains)


def test_partial_rotation_with_the_rule_is_causal_grouped_compiled_and_finite():
    rope = ("rope_dims=4", "rope_ntk=true", "rope_ref_len=16")
    assert_option_is_sound(*(f"arch.attention.{word}" for word in rope))
