"""What a model has learned of its gates, lanes, skips and gains: as numbers for curves, and as a table by layer.

Everything in the optimizer's groups of scalars is looked at, whatever option it belongs to. A parameter as wide as the
model is given by its mean along the width; what then has up to MOST_NUMBERS numbers is given number by number, any
other by its mean. A part may name the numbers of a parameter's last axis (``Part.columns``) and the layer that its
first row belongs to (``Part.first``), as options of arch/lanes do: theirs are those of the
table of #1204 (spec records §6 F).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pgolf.arch.base import Part

GROUPS = ("scalar", "scalar_no_decay")
MOST_NUMBERS = 16


@dataclass(frozen=True, slots=True)
class Learned:
    """``place`` is the module's name, or ``layer N`` of one that has a row for each layer; ``label`` the parameter's,
    with its column or index."""

    place: str
    label: str
    value: float

    @property
    def name(self) -> str:
        return f"{self.place}/{self.label}"


@torch.no_grad()
def learned(model: nn.Module, width: int) -> list[Learned]:
    """Of every part of ``model``, whose stream is ``width`` wide; in the model's order, shared parts once."""
    found = []
    for place, part in model.named_modules():
        if isinstance(part, Part):
            for name, spec in part.specs.items():
                if spec.group in GROUPS:
                    found += list(_numbers(part, place or "model", name, getattr(part, name).detach().float(), width))
    return found


def _numbers(part: Part, place: str, name: str, value: Tensor, width: int) -> Iterator[Learned]:
    if value.ndim and value.size(-1) == width and value.numel() > 1:
        value = value.mean(-1)
    columns = part.columns.get(name)
    if columns is not None and value.ndim == 2:
        for row, numbers in enumerate(value.tolist()):
            layer = f"{place} layer {part.first + row}"
            yield from (Learned(layer, columns[i], number) for i, number in enumerate(numbers))
    elif value.numel() > MOST_NUMBERS:
        yield Learned(place, f"{name} (mean)", float(value.mean()))
    else:
        for index, number in zip(_indices(value), value.flatten().tolist(), strict=True):
            yield Learned(place, name + index, number)


def _indices(value: Tensor) -> Iterator[str]:
    for place in itertools.product(*(range(length) for length in value.shape)):
        yield "".join(f"[{i}]" for i in place)


def learned_table(rows: list[Learned]) -> list[str]:
    """A line for each place: what stands there, label by label."""
    places: dict[str, list[Learned]] = {}
    for row in rows:
        places.setdefault(row.place, []).append(row)
    width = max(map(len, places), default=0)
    return [
        f"{place:<{width}}  " + "  ".join(f"{row.label} {row.value:.4f}" for row in found)
        for place, found in places.items()
    ]
