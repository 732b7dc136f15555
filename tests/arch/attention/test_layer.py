"""Numbers that all kernels share: the long-context rule, partial rotation, the gain of queries."""

import pytest
import torch

from pgolf.arch.attention.documents import Documents
from pgolf.arch.attention.layer import Attention, Rotary, attention_layer
from pgolf.arch.dims import Dims
from pgolf.core.errors import ConfigError
from pgolf.eval.windows import check_positions
from pgolf.run.rules import check
from tests.arch.option_claims import assert_option_is_sound
from tests.helpers import tiny_model, tiny_settings


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


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ((), 64),
        (("arch.attention.rope_ntk=true", "arch.attention.rope_dims=4"), 1000),
        (("arch.attention.rope_limit=null",), 1000),
        (("arch.attention.rope_limit=80",), 80),
        (("size.window=128",), 128),
    ],
)
def test_windows_longer_than_trained_are_a_choice(words, window):
    """Refused before training, and of an artifact, as are its windows."""
    check_positions(tiny_model(*words), window)
    check(tiny_settings(*words, f"eval.window={window}", "eval.stride=4", "tokenizer=bytes", "eval=sliding"))
    if window < 1000:
        refused = rf"eval\.window: {2 * window} positions, and rotary attention has learnt {window}"
        with pytest.raises(ConfigError, match=refused):
            check_positions(tiny_model(*words), 2 * window)
        with pytest.raises(ConfigError, match=refused):
            check(tiny_settings(*words, f"eval.window={2 * window}", "tokenizer=bytes", "eval=sliding"))


def test_the_query_gain_is_where_training_starts():
    gains = [c.q_gain for c in tiny_model("arch.attention.qk_gain=5.25").controls.values()]
    assert all(torch.equal(gain, torch.full((2,), 5.25)) for gain in gains)


def test_partial_rotation_with_the_rule_is_causal_grouped_compiled_and_finite():
    rope = ("rope_dims=4", "rope_ntk=true", "rope_ref_len=16")
    assert_option_is_sound(*(f"arch.attention.{word}" for word in rope))


def test_layer_and_kernel_each_take_their_settings_from_one_node():
    words = ("arch/attention=documents", "arch.attention.kernel=mask", "arch.attention.qk_gain=2.5")
    layer = attention_layer(tiny_settings(*words)["arch"]["attention"], Dims(97, 1, 1, 32, 2, 1, 32))
    assert type(layer) is Attention and type(layer.kernel) is Documents
    assert (layer.qk_gain, layer.kernel.kernel) == (2.5, "mask")


def test_a_kernel_owns_no_parameters():
    names = {n.rpartition(".")[0] for n, _ in tiny_model().layers[0].mixer.named_parameters()}
    assert names == {"q", "k", "v", "out"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["arch.attention.qk_gian=2"],
            r"arch\.attention\.qk_gian: Auto takes .*rope_dims.*Did you mean 'qk_gain'",
        ),
        (["arch.attention.blok=4"], r"arch\.attention\.blok: Auto takes .*Did you mean 'block'"),
        (["arch.attention.rope_base=-1"], r"arch\.attention\.rope_base: -1 is out of range"),
        (["arch/attention=blocked", "arch.attention.block=0"], r"arch\.attention\.block: 0 is out of range"),
        (["arch/attention=flex", "device=cpu"], "flex attention cannot train on a CPU, only on cuda"),
        (
            ["arch/attention=documents", "arch.attention.kernel=flex", "device=cpu"],
            "documents attention cannot train on a CPU",
        ),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_the_check_knows_the_settings_of_both_and_where_a_kernel_trains(words, problem):
    with pytest.raises(ConfigError, match=problem):
        check(_with(words))


def _with(words):
    """The settings with words that may name keys that do not exist."""
    new = [f"+{word}" if "gian" in word or "blok" in word else word for word in words]
    return tiny_settings(*new)
