"""What an addon is: a small specification that a model asks for parts, once per place (style 8).

Sites of the whole model:

| site | called as | may change |
|---|---|---|
| ``embedding`` | ``part(x_BTD, ids_BT)`` | the embedded tokens, before the first norm |
| ``stream`` | ``part(x_BTD, ids_BT)`` | the normed stream, before it becomes x0 |
| ``prepare`` | ``part(context)`` | nothing; leaves tensors in ``context.shared`` once per forward pass |
| ``skip`` | ``part(x_BTD, skip_BTD, index)`` | how a weighted skip enters the decoder (the last part decides) |
| ``output`` | ``part(x_BTD, context)`` | nothing; may append to ``context.auxiliary`` in training |

The sites of a block are listed in ``pgolf.arch.block``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from pgolf.arch.dims import Dims
from pgolf.arch.visits import Route, Visit

MODEL_SITES = ("embedding", "stream", "prepare", "skip", "output")


class ModelOutline:
    """What a specification may know of the model it is placed in.

    ``attention_layers`` are the physical layers with attention; ``mixer_layers`` those with any mixer,
    attention or state space; ``mlp_layers`` those with an MLP.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        attention_layers: tuple[int, ...],
        mixer_layers: tuple[int, ...],
        mlp_layers: tuple[int, ...],
    ) -> None:
        self.routes = dict(routes)
        self.attention_layers, self.mixer_layers, self.mlp_layers = attention_layers, mixer_layers, mlp_layers

    @property
    def visits(self) -> dict[str, Visit]:
        """One visit for each control key, the one of the longest route where several share a key."""
        longest_last = sorted(self.routes.values(), key=lambda s: len(s.visits))
        return {visit.key: visit for s in longest_last for visit in s.visits}

    def sharing(self, visit: Visit) -> list[Visit]:
        """The visits, of all routes, that use the control key of ``visit``, and so its parts."""
        return [v for s in self.routes.values() for v in s.visits if v.key == visit.key]

    @property
    def skips(self) -> int:
        return max(s.skips for s in self.routes.values())


class Host(Protocol):
    """A model, as far as functions that ask one of its addons for something need it."""

    embedding: nn.Parameter

    def parts_at(self, site: str) -> Sequence[nn.Module]:
        """The parts at a site of the model, in order."""
        ...

    def hidden(self, ids_BT: Tensor) -> Tensor: ...

    def project(self, x_BTD: Tensor) -> Tensor: ...


class Addon:
    """A specification: what its YAML says, and ``build``. What others must know of it are these attributes.

    ``sites`` names where its parts hang; ``order`` sorts addons within a site, low first.
    ``alternative`` says, as the end of a sentence, what addons with the same words do in each other's place: a
    model has one of them. None: it stands beside any.
    ``most_lanes`` and ``most_reads`` are the most lanes a model may split into, and the most times a block may
    read them, for this addon to mean anything; None: it does not matter. ``why`` is the reason, the first half of
    the sentence that refuses more.
    ``beside_state_space``: whether it is defined where some layers hold a state-space mixer in place of attention.
    """

    sites: tuple[str, ...] = ()
    order: int = 50
    alternative: str | None = None
    most_lanes: int | None = None
    most_reads: int | None = None
    why: str = ""
    beside_state_space: bool = True

    def order_at(self, site: str) -> int:
        """The order at one site, for an addon that needs different ones."""
        return self.order

    @abstractmethod
    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        """The part for this site (of this visit, None for a site of the model), or None for no part here.

        A specification is asked once per site and per control key of its visits. It may return a part it
        returned before: such a part is one module with one set of parameters.
        """
