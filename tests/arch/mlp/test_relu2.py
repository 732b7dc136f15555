import torch

from tests.helpers import tiny_model


def test_relu2_is_the_square_of_the_positive_part():
    mlp = tiny_model().layers[0].mlp
    torch.nn.init.normal_(mlp.down.weight)
    h = torch.randn(2, 3, 32)
    up = h @ mlp.up.weight.T
    expected = torch.where(up > 0, up * up, torch.zeros(())) @ mlp.down.weight.T
    torch.testing.assert_close(mlp(h), expected)
