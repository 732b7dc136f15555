import pytest
import torch

from tests.arch.addon.checks import added_parameters, assert_sound, context_of, twins
from tests.helpers import ids, tiny_model

CANON = "arch/addon=[canon]"


def test_canon_is_causal_compiles_and_trains():
    assert_sound(CANON)


def test_canon_adds_four_taps_for_each_channel_of_both_sublayers():
    assert added_parameters(CANON) == 9 * 2 * 4 * 512


def test_canon_is_the_identity_at_the_start():
    plain, other = twins(CANON)
    assert torch.equal(plain.logits(ids()), other.logits(ids()))


@pytest.mark.parametrize("taps", [1, 4, 7])
def test_canon_adds_the_weighted_last_taps(taps):
    model = tiny_model(CANON, f"arch.addons.canon.taps={taps}")
    part = model.addons.block_sites["2_0"]["attention_in"][0]
    torch.nn.init.normal_(part.weight)
    h = torch.randn(2, 5, 32)
    expected = h.clone()
    for t in range(5):
        for j in range(min(taps, t + 1)):
            expected[:, t] += part.weight[j] * h[:, t - j]
    torch.testing.assert_close(part(h, context_of()), expected)


def test_layers_without_a_sublayer_have_no_taps_for_it():
    model = tiny_model(CANON, "arch.no_attention=[0]")
    sites = model.addons.block_sites["0_0"]
    assert not sites["attention_in"] and sites["mlp_in"]


def test_canon_follows_the_depth_scale():
    model = tiny_model("arch/addon=[canon,ln_scale]")
    names = [type(part).__name__ for part in model.addons.block_sites["1_0"]["mlp_in"]]
    assert names == ["DepthScale", "CanonConvolution"]
