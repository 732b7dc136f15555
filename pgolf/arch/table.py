"""What a model is made of, by component: for ``print_model=true`` and the head of every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgolf.core.protocols import Model

HEADER = ("component", "parameters", "optimizer", "storage", "bytes (forecast)")


@dataclass(frozen=True, slots=True)
class ModelTable:
    """``rows`` under ``HEADER``, largest first, then the total; ``notes`` on visits; ``sites`` of each addon."""

    rows: tuple[tuple[str, int, str, str, int], ...]
    notes: tuple[str, ...]
    parameters: int
    sites: Mapping[str, Sequence[str]]


def model_table(model: Model, forecast: Mapping[str, float]) -> ModelTable:
    """Parameters by component, optimizer group and storage role, with the bytes they will take in the artifact.

    ``forecast``: those bytes, by parameter name; what has another name is stored beside the parameters.
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    specs = model.param_specs()
    sums: dict[tuple[str, str, str], list[float]] = {}
    for name, spec in specs.items():
        entry = sums.setdefault((spec.component, spec.group, spec.storage), [0, 0.0])
        size = 1
        for length in shapes[name]:
            size *= length
        entry[0] += size
        entry[1] += forecast[name]
    rows = [(c, int(n), g, s, round(b)) for (c, g, s), (n, b) in sums.items()]
    rows += [(name, 0, "", "correction", round(forecast[name])) for name in forecast.keys() - specs.keys()]
    rows.sort(key=lambda row: (-row[1], row[0]))
    total, total_bytes = sum(row[1] for row in rows), sum(row[4] for row in rows)
    rows.append(("total", total, "", "", total_bytes))
    return ModelTable(tuple(rows), tuple(notes(model)), total, model.addon_sites())


def notes(model: Model) -> list[str]:
    """One line per route: when it becomes active and which layers it visits."""
    found = []
    for name, route in model.routes.items():
        when = [
            f", from {a.start:g}" + (" steps" if a.steps else " of the run")
            for a in model.activations()
            if a.route == name
        ]
        found.append(f"visits {name}{''.join(when)}: {route}")
    return found
