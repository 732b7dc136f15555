"""submission.json of a record: what others have written into theirs, read as a reference.

No two published files agree on their fields; what is known under several names is looked for under all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError
from pgolf.core.json_text import read_json
from pgolf.report.against import Reference
from pgolf.report.entry import ScoredText
from pgolf.report.schema import SCHEMA, problems_of
from pgolf.report.statistics import Sample

SUBMISSION_NAME = "submission.json"
_MEANS = {"bpb": ("val_bpb", "mean_val_bpb", "val_bpb_mean"), "loss": ("val_loss", "mean_val_loss", "val_loss_mean")}
_STDS = {"bpb": ("val_bpb_std", "std_val_bpb"), "loss": ("val_loss_std", "std_val_loss")}
_ROUNDED = 6e-5  # a mean given with four digits


def read_claim(path: Path) -> Reference:
    """The scores that a published submission.json claims. Raises RunError for a file that claims none."""
    node = read_json(path, RunError)
    if not isinstance(node, dict):
        raise RunError(f"{path}: no submission: not a mapping")
    if node.get("schema") == SCHEMA:
        return _own(path, node)
    seeds = list(_seed_results(node))
    notes = [f"as {path} claims it; nobody has proved that here"]
    bpb, exact = _sample(path, node, seeds, "bpb", notes)
    if bpb is None:
        raise RunError(f"{path}: claims no score: none of {', '.join(_MEANS['bpb'])} is a number")
    loss, _ = _sample(path, node, seeds, "loss", notes)
    disclosed = node.get("seed_results_all_runs_disclosure")
    if isinstance(disclosed, Sequence | Mapping) and not isinstance(disclosed, str) and len(disclosed) > bpb.n:
        notes.append(f"it discloses {len(disclosed)} runs and averages {bpb.n} of them: a selection")
    per_token = loss.mean / (math.log(2) * bpb.mean) if loss else None
    label = next(
        (str(node[key]) for key in ("name", "title", "author") if isinstance(node.get(key), str)), path.parent.name
    )
    return Reference(label, bpb, loss, per_token, exact=exact, published=True, notes=tuple(notes))


def _own(path: Path, node: Mapping[str, Any]) -> Reference:
    """Of a record that pgolf wrote: what was scored is known too. Raises RunError where it is not as it was written."""
    problems = problems_of(node)
    if problems:
        raise RunError("\n".join(f"{path}: {problem}" for problem in problems))
    scored = ScoredText(*(node[name] for name in ("data", "split", "metric", "text_bytes", "tokens", "method")))
    runs = node["seed_results_all_runs_disclosure"]
    return Reference(
        label=node["name"],
        bpb=Sample(len(node["seeds"]), node["val_bpb"], node["val_bpb_std"]),
        loss=Sample(len(node["seeds"]), node["val_loss"], node["val_loss_std"]),
        bytes_per_token=scored.bytes / scored.tokens if scored.tokens else None,
        scored=scored,
        exact=node["val_bpb_std"] is None,
        notes=(f"{len(runs)} runs are disclosed, {sum(run['counted'] for run in runs)} counted",),
    )


def _sample(
    path: Path, node: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]], what: str, notes: list[str]
) -> tuple[Sample | None, bool]:
    """The sample, and whether it is one number: of the seeds where two are given, else of mean and deviation."""
    name = "val_bpb" if what == "bpb" else "val_loss"
    values = [value for seed in seeds if (value := _number(seed.get(name))) is not None]
    mean = next((value for key in _MEANS[what] if (value := _number(node.get(key))) is not None), None)
    std = next((value for key in _STDS[what] if (value := _number(node.get(key))) is not None), None)
    if len(values) > 1:
        sample = Sample.of(values)
        if mean is not None and abs(sample.mean - mean) > _ROUNDED:
            notes.append(f"its {name} {mean:g} is not the mean of its {len(values)} seeds, {sample.mean:.6f}")
        return sample, False
    if mean is None:
        return (Sample(1, values[0], None), True) if values else (None, True)
    listed = node.get("seeds")
    count = len(listed) if isinstance(listed, list) else len(seeds)
    if std is None or count < 2:
        return Sample(1, mean, None), True
    return Sample(count, mean, std), False


def _seed_results(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Of each seed what is stated: a mapping by seed, of mappings or of plain scores, or a list of mappings."""
    results = node.get("seed_results", node.get("seeds"))
    if isinstance(results, Mapping):
        for value in results.values():
            yield value if isinstance(value, Mapping) else {"val_bpb": value}
    elif isinstance(results, list):
        yield from (value for value in results if isinstance(value, Mapping))


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
