"""What an addon is, and how a model places its parts (style 8).

An addon's YAML makes a small specification object. The model asks it for parts, once per place, in an order
that the specifications fix. Sites of the whole model:

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

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from pgolf.arch.block import BLOCK_SITES
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Schedule, Visit
from pgolf.core.make import make

MODEL_SITES = ("embedding", "stream", "prepare", "skip", "output")


class Addon(Protocol):
    """A specification. ``sites`` names where its parts hang; ``order`` sorts parts within a site, low first."""

    sites: tuple[str, ...]
    order: int

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelFacts) -> nn.Module | None:
        """The part for this site (of this visit, None for a site of the model), or None for no part here.

        A specification is asked once per site and per control key of its visits. It may return a part it
        returned before: such a part is one module with one set of parameters.
        """
        ...


class ModelFacts:
    """What a specification may know of the model it is placed in.

    ``attention_layers`` are the physical layers with attention; ``mixer_layers`` those with any mixer,
    attention or state space; ``mlp_layers`` those with an MLP.
    """

    def __init__(
        self,
        schedules: Mapping[str, Schedule],
        attention_layers: tuple[int, ...],
        tied: bool,
        *,
        mixer_layers: tuple[int, ...],
        mlp_layers: tuple[int, ...],
    ) -> None:
        self.schedules = dict(schedules)
        self.attention_layers = attention_layers
        self.mixer_layers = mixer_layers
        self.mlp_layers = mlp_layers
        self.tied = tied

    @property
    def visits(self) -> dict[str, Visit]:
        """One visit for each control key, the one of the longest schedule where several share a key."""
        longest_last = sorted(self.schedules.values(), key=lambda s: len(s.visits))
        return {visit.key: visit for s in longest_last for visit in s.visits}

    def sharing(self, visit: Visit) -> list[Visit]:
        """The visits, of all schedules, that use the control key of ``visit``, and so its parts."""
        return [v for s in self.schedules.values() for v in s.visits if v.key == visit.key]

    @property
    def skips(self) -> int:
        return max(s.skips for s in self.schedules.values())


class Placement(nn.Module):
    """All addon parts of a model, registered once each, and the lists of parts by site."""

    def __init__(self, nodes: Mapping[str, Mapping[str, Any]], dims: Dims, facts: ModelFacts) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        self.model_sites: dict[str, list[nn.Module]] = {site: [] for site in MODEL_SITES}
        self.block_sites: dict[str, dict[str, list[nn.Module]]] = {
            key: {site: [] for site in BLOCK_SITES} for key in facts.visits
        }
        specifications: list[tuple[str, Addon]] = [(name, make(node)) for name, node in nodes.items()]
        self.specifications = dict(specifications)
        for name, addon in sorted(specifications, key=lambda pair: (pair[1].order, pair[0])):
            for site in addon.sites:
                assert site in MODEL_SITES or site in BLOCK_SITES, site
                if site in MODEL_SITES:
                    self._hang(name, "", addon.build(dims, site, None, facts), self.model_sites[site])
                else:
                    for key, visit in facts.visits.items():
                        self._hang(
                            name, key, addon.build(dims, site, visit, facts), self.block_sites[key][site]
                        )

    def _hang(self, name: str, key: str, part: nn.Module | None, site: list[nn.Module]) -> None:
        if part is None:
            return
        site.append(part)
        if all(part is not known for known in self.parts.values()):
            label = f"{name}_{key}" if key else name
            taken = sum(other == label or other.startswith(f"{label}__") for other in self.parts)
            self.parts[f"{label}__{taken}" if taken else label] = part
