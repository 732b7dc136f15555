"""Orthogonal matrices where they are large enough; zero projections and an untied head stay zero."""

import pytest
import torch

from pgolf.arch.base import Linear
from tests.arch.causality import one_step
from tests.helpers import tiny_model

WORDS = ("arch/init=orthogonal", "arch.init.min_dim=16")


def defect(weight):
    small = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    return (small - torch.eye(small.shape[0])).abs().max().item()


def test_every_large_linear_is_orthogonal_and_projections_are_zero():
    model = tiny_model(*WORDS)
    found = [module for module in model.modules() if isinstance(module, Linear)]
    assert len(found) == 6 * 6
    for linear in found:
        if linear.writes_residual:
            assert not linear.weight.any()
        else:
            assert defect(linear.weight) < 1e-5


def test_a_linear_with_a_smaller_dimension_keeps_the_default():
    model = tiny_model("arch/init=orthogonal", "arch.init.min_dim=17")
    assert defect(model.layers[0].mixer.q.weight) < 1e-5
    assert defect(model.layers[0].mixer.k.weight) > 0.1  # [16, 32]


def test_an_untied_head_stays_zero():
    assert not tiny_model(*WORDS, "arch.tie_embeddings=false").head.weight.any()


def test_the_embedding_is_as_small_as_the_baselines():
    assert abs(tiny_model(*WORDS, vocab_size=2000).embedding.std().item() - 0.005) < 0.0005


@pytest.mark.parametrize("addon", ["bigram_hash", "value_embedding"])
def test_scaled_projections_shrink_what_the_addons_project(addon):
    words = ("arch/init=orthogonal", "arch.init.min_dim=8", f"arch/addon=[{addon}]")
    plain, scaled = (
        tiny_model(*words, f"arch.init.scale_projections={flag}").state_dict() for flag in ("false", "true")
    )
    names = [name for name in plain if name.startswith("addons.") and name.endswith("projection.weight")]
    assert names
    for name, weight in plain.items():
        factor = 12**-0.5 if name in names else 1.0
        torch.testing.assert_close(scaled[name], factor * weight)
    assert all(plain[name].any() for name in names), "the projection and its table would both be zero"


def test_it_trains():
    assert 0 < one_step(tiny_model(*WORDS)) < 10
