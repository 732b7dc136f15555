import torch

from tests.helpers import tiny_model


def test_projections_into_the_stream_start_at_zero_and_the_embedding_is_small():
    model = tiny_model("arch.init.embedding_std=0.01", vocab_size=2000)
    for layer in model.layers:
        assert not layer.mixer.out.weight.any() and not layer.mlp.down.weight.any()
        assert layer.mixer.q.weight.any() and layer.mlp.up.weight.any()
    assert abs(model.embedding.std().item() - 0.01) < 0.001
    assert abs(model.embedding.mean().item()) < 0.001


def test_only_the_projections_have_a_gradient_at_step_zero():
    model = tiny_model()
    tokens = torch.randint(2, 90, (2, 16))
    model.loss(tokens, tokens.roll(-1, 1)).backward()
    layer = model.layers[0]
    assert layer.mixer.out.weight.grad.any() and layer.mlp.down.weight.grad.any()
    assert not layer.mixer.q.weight.grad.any() and not layer.mlp.up.weight.grad.any()
