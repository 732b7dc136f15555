"""What a compiler is given: one graph, with the values and gradients of the model that runs without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.helpers import ids, randomise

# Captured whole by Dynamo and run as it stands. What the compilers behind make of it takes five times as long:
# test_compiled.py does that for every option once.
CAPTURED = "eager"


def assert_one_graph(
    model: Any, *, logits: bool = False, backend: str = CAPTURED, rtol: float = 1e-5, atol: float = 1e-5
) -> None:
    """In every route loss and gradients, each from one graph, equal eager mode's; evaluation's ``logits`` where asked.

    Going through the routes again compiles nothing.
    """
    torch._dynamo.reset()
    randomise(model)
    options: dict[str, Any] = {"fullgraph": True, "backend": backend, "dynamic": False}
    loss, evaluate = torch.compile(model.loss, **options), torch.compile(model.logits, **options)
    for name in model.routes:
        model.activate(name)
        found, expected = loss_and_gradients(model.train(), loss), loss_and_gradients(model, model.loss)
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)
        assert sum(gradient.any() for gradient in found.values()) > len(found) / 2
        if logits:
            model.eval()
            with torch.no_grad():
                torch.testing.assert_close(evaluate(ids()), model.logits(ids()), rtol=rtol, atol=atol)
            model.train()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for name in model.routes:
            model.use(name)
            loss(ids(), ids(seed=1))
    torch._dynamo.reset()


def loss_and_gradients(model: Any, loss: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
    """The loss of two fixed sequences and the gradients of every parameter the active route uses."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)  # for what draws noise
    value = loss(ids(), ids(seed=1))
    value.backward()
    return {"loss": value.detach()} | {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
