"""What a compiler is given: one graph, with the values and gradients of the model that runs without one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch

from tests.helpers import ids, randomise

# Captured whole by Dynamo and run as it stands. What the compilers behind make of it takes five times as long:
# test_compiled.py does that for every option once.
CAPTURED = "eager"


def assert_one_graph(
    model: Any, *, routes: Collection[str] = (), backend: str = CAPTURED, rtol: float = 1e-5, atol: float = 1e-5
) -> None:
    """In every route (or those named) loss, gradients and evaluation's logits, each from one graph, equal eager mode's.

    Going through the routes again compiles nothing.
    """
    torch._dynamo.reset()
    randomise(model)
    options: dict[str, Any] = {"fullgraph": True, "backend": backend, "dynamic": False}
    loss, logits = torch.compile(model.loss, **options), torch.compile(model.logits, **options)
    chosen = routes or list(model.routes)
    for name in chosen:
        model.activate(name)
        found, expected = loss_and_gradients(model.train(), loss), loss_and_gradients(model, model.loss)
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)
        assert sum(gradient.any() for gradient in found.values()) > len(found) / 2
        with torch.no_grad():
            model.eval()
            torch.testing.assert_close(logits(ids()), model.logits(ids()), rtol=rtol, atol=atol)
    with torch._dynamo.config.patch(error_on_recompile=True), torch.no_grad():
        for name in chosen:
            model.use(name)
            logits(ids())
    torch._dynamo.reset()


def loss_and_gradients(model: Any, loss: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
    """The loss of two fixed sequences and the gradients of every parameter the active route uses."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)  # for what draws noise
    value = loss(ids(), ids(seed=1))
    value.backward()
    return {"loss": value.detach()} | {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
