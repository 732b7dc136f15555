"""Overtone: singular values fall as k^−½ from the largest; tied embeddings only."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from tests.arch.causality import one_step
from tests.helpers import tiny_model

WORDS = ("arch/init=overtone",)


def test_the_spectrum_falls_as_the_inverse_root_of_the_rank():
    spectrum = torch.linalg.svdvals(tiny_model(*WORDS).embedding)
    expected = spectrum[0] * torch.arange(1, 33) ** -0.5
    torch.testing.assert_close(spectrum, expected, rtol=1e-3, atol=1e-6)


def test_the_largest_singular_value_is_that_of_the_plain_start():
    shaped, plain = (torch.linalg.svdvals(tiny_model(*w).embedding) for w in (WORDS, ()))
    torch.testing.assert_close(shaped[0], plain[0])


def test_at_1024_by_512_the_root_mean_square_drops_to_the_published_value():
    words = ("arch.width=512", "arch.layers=2", "arch.mlp_hidden=16", "arch.heads=8")
    embedding = tiny_model(*WORDS, *words, vocab_size=1024).embedding
    assert embedding.square().mean().sqrt().item() == pytest.approx(0.00099, rel=0.02)
    assert torch.linalg.svdvals(embedding)[0].item() == pytest.approx(0.275, rel=0.02)


def test_an_untied_head_is_refused():
    with pytest.raises(ConfigError, match=r"arch\.init: overtone .*tie_embeddings=true"):
        tiny_model(*WORDS, "arch.tie_embeddings=false")


def test_projections_are_zero_and_linears_orthogonal_on_demand():
    model = tiny_model(*WORDS, "arch.init.orthogonal_min=16")
    layer = model.layers[0]
    assert not layer.mixer.out.weight.any() and not layer.mlp.down.weight.any()
    torch.testing.assert_close(layer.mixer.q.weight @ layer.mixer.q.weight.T, torch.eye(32))


def test_it_trains():
    assert 0 < one_step(tiny_model(*WORDS)) < 10
