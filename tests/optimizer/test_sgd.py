"""Two steps of a matrix equal the formula in float64."""

import pytest
import torch

from pgolf.core.make import make
from tests.helpers import tiny_model, tiny_settings


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.9, False), (0.0, True)])
def test_two_steps_equal_the_formula(momentum, nesterov):
    model = tiny_model()
    name = "layers.0.mlp.up.weight"
    p = model.get_parameter(name)
    words = (f"optimizer.momentum={momentum}", f"optimizer.nesterov={str(nesterov).lower()}")
    node = tiny_settings("optimizer=sgd", "optimizer.matrix_lr=0.1", "optimizer.matrix_weight_decay=0.5", *words)
    optimizer, w = make(node["optimizer"], model=model), p.detach().double()
    buffer = torch.zeros_like(w)
    for _ in range(2):
        p.grad = torch.randn_like(p)
        g = p.grad.double() + 0.5 * w
        buffer = momentum * buffer + g
        w = w - 0.1 * 0.5 * (g + momentum * buffer if nesterov else buffer)
        optimizer.step(0.5, 0.0)
    torch.testing.assert_close(p.detach().double(), w, rtol=1e-5, atol=1e-6)
