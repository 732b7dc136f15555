"""How a model places the parts of its addons: each registered once, listed by site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from pgolf.arch.addon.base import MODEL_SITES, Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import BLOCK_SITES
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit


class Placement(Part):
    """All addon parts of a model, registered once each, and the lists of parts by site."""

    alone = True

    def __init__(self, specifications: Mapping[str, Addon], dims: Dims, outline: ModelOutline) -> None:
        super().__init__()
        self.specifications = dict(specifications)
        self.parts = nn.ModuleDict()
        self.model_sites: dict[str, list[nn.Module]] = {site: [] for site in MODEL_SITES}
        self.block_sites: dict[str, dict[str, list[nn.Module]]] = {
            key: {site: [] for site in BLOCK_SITES} for key in outline.visits
        }
        # Parts draw their random numbers in an order that the command line cannot change, and the same whatever
        # order they hang in.
        named = sorted(self.specifications.items(), key=lambda item: (item[1].order, item[0]))
        built = [hung for name, addon in named for hung in _build(name, addon, dims, outline)]
        for hung in built:
            self._register(hung)
        for hung in sorted(built, key=lambda hung: hung.order):
            sites = self.block_sites[hung.key] if hung.key else self.model_sites
            sites[hung.site].append(hung.part)

    def _register(self, hung: _Hung) -> None:
        if all(hung.part is not known for known in self.parts.values()):
            label = f"{hung.name}_{hung.key}" if hung.key else hung.name
            taken = sum(other == label or other.startswith(f"{label}__") for other in self.parts)
            self.parts[f"{label}__{taken}" if taken else label] = hung.part


@dataclass(frozen=True, slots=True)
class _Hung:
    """A part and where it hangs; ``key`` is empty at a site of the model."""

    name: str
    site: str
    key: str
    order: int
    part: nn.Module


def _build(name: str, addon: Addon, dims: Dims, outline: ModelOutline) -> Iterator[_Hung]:
    for site in addon.sites:
        assert site in MODEL_SITES or site in BLOCK_SITES, site
        places: dict[str, Visit | None] = {"": None} if site in MODEL_SITES else {**outline.visits}
        for key, visit in places.items():
            part = addon.build(dims, site, visit, outline)
            if part is not None:
                yield _Hung(name, site, key, addon.order_at(site), part)
