"""Causality, proved twice: by changing a token and by following gradients; and one training step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from pgolf.core.make import make
from tests.helpers import VOCAB, ids, randomise, tiny_settings


def perturbation_leak(model: Any, position: int = 11, time: int = 24) -> float:
    """Largest change of a logit before ``position`` when the tokens from there on change."""
    model.eval()
    first = ids(time=time)
    second = first.clone()
    second[:, position:] = (second[:, position:] * 7 + 3) % (VOCAB - 2) + 2
    with torch.no_grad():
        a, b = model.logits(first), model.logits(second)
    assert not torch.equal(a[:, position:], b[:, position:]), "the perturbation changed nothing at all"
    return (a[:, :position] - b[:, :position]).abs().max().item()


def gradient_leak(model: Any, position: int = 11, time: int = 24) -> float:
    """Largest gradient of the logits at ``position`` with respect to later tokens' embeddings.

    Follows the token table only; techniques with tables of their own are covered by the perturbation.
    """
    model.eval()
    tokens = ids(1, time)
    probe = torch.zeros(1, time, model.embedding.size(1), requires_grad=True)
    original = F.embedding

    def embedding(index: torch.Tensor, weight: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        found = original(index, weight, *rest, **named)
        return found + probe if weight is model.embedding else found

    try:
        F.embedding = embedding
        model.logits(tokens)[0, position].square().sum().backward()
    finally:
        F.embedding = original
    assert probe.grad is not None and probe.grad[0, : position + 1].abs().sum() > 0
    return probe.grad[0, position + 1 :].abs().max().item()


def assert_causal(model: Any, tolerance: float = 1e-5) -> None:
    """Fail unless nothing at or after a position reaches the logits before it. Randomise zeros first."""
    randomise(model)
    assert gradient_leak(model) == 0.0, "gradient flows from a later token"
    leak = perturbation_leak(model)
    assert leak <= tolerance, f"a later token changes earlier logits by {leak}"


def one_step(model: Any, seed: int = 0) -> float:
    """One optimizer step on random tokens; returns the loss before it. Leaves gradients in place."""
    model.train()
    optimizer = make(tiny_settings("optimizer.ns_dtype=float32")["optimizer"], model=model)
    loss = model.loss(ids(seed=seed), ids(seed=seed + 100))
    loss.backward()
    optimizer.step(1.0, 0.5)
    return loss.item()
