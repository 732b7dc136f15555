"""The contract of the group: a term of the training loss, inside the model's own compiled loss.

A model calls its ``terms`` at the end of its loss, in training mode alone, each with the loss so far, and goes on with
what it returns. What a term reads of the forward pass stands in the context (``encoder_BTD``, ``targets_BT``), so that
one pass serves all, beside training for the grid (``pgolf.qat.replaced``) too, which sees the model's loss as one.
A term's parameters are no parameters of the model: not of its state, its averages, its count or its artifact.
"""

# Shapes: B batch, T time, D model, V vocab

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor, nn

from pgolf.arch.base import Part, param_specs
from pgolf.arch.block import ForwardContext
from pgolf.core.protocols import Model
from pgolf.core.results import ParamSpec


class Head(Protocol):
    """What a term may ask of the model whose loss it is of."""

    softcap: float

    @property
    def output_table(self) -> Tensor:
        """The matrix [V, D] that scores words."""
        ...

    def word_loss(self, x_BTD: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy (nats) of the head's words on normed hidden states."""
        ...

    def project(self, x_BTD: Tensor) -> Tensor:
        """fp32 logits [B, T, V] of normed hidden states."""
        ...


class Term(Part):
    """What changes over the run is a buffer, set in ``at_progress`` (``follows_progress``): graphs stay as they are."""

    def forward(self, loss: Tensor, x_BTD: Tensor, context: ForwardContext, model: Head) -> Tensor:
        """The loss to go on with. ``x_BTD``: the normed final stream; ``context.targets_BT`` is there."""
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[int, Any]) -> Term:
        """A copy of a model scores, calibrates or is exported; for that a term is nothing."""
        return self


class WithTerms:
    """A model and the terms of its loss with parameters of their own, as an optimizer sees them."""

    def __init__(self, model: Model, terms: nn.ModuleDict) -> None:
        self.model, self.terms = model, terms

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.model.named_parameters()
        yield from self.terms.named_parameters("auxiliary")

    def parameters(self) -> Iterator[nn.Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def param_specs(self) -> dict[str, ParamSpec]:
        own = {f"auxiliary.{name}": spec for name, spec in param_specs(self.terms).items()}
        return {**self.model.param_specs(), **own}
