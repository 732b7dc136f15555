"""What will be trained and what it will weigh, shown before anything is: at the head of a run and by
``print_model``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from pgolf.arch.table import HEADER, model_table
from pgolf.artifact.forecast import Forecast, forecast
from pgolf.artifact.ledger import ledger_table, ledger_text
from pgolf.bundle.script import make_bundle
from pgolf.core.launcher import process_facts
from pgolf.core.make import make
from pgolf.core.protocols import Model
from pgolf.core.results import Artifact
from pgolf.data.dataset import Dataset
from pgolf.run.record import Run
from pgolf.run.recorder import Recorder
from pgolf.tokenizer.recipe import BOS_ID, vocab_size
from pgolf.track.console import Console


def print_model(cfg: Mapping[str, Any]) -> tuple[float, int]:
    """Print the composed model's table and end; nothing is trained, fetched or written, but by a sweep the folders. Of
    several processes the first prints."""
    if process_facts().rank:
        return math.nan, 0
    with torch.device("meta"):
        model = make(cfg["arch"], vocab_size=vocab_size(cfg["tokenizer"]), bos_id=BOS_ID)
    show_model(Console(), cfg, model, len(make_bundle(cfg).script), None)
    return math.nan, 0


def report_model(run: Recorder, console: Console, dataset: Dataset, model: Model) -> Forecast:
    """Show what the run will train and weigh, with the script that is its code."""
    with run.stage("build"):
        run.script = make_bundle(run.cfg).script
        return show_model(console, run.cfg, model, len(run.script), dataset.tokenizer.to_blob())


def show_model(
    console: Console,
    cfg: Mapping[str, Any],
    model: Model,
    bytes_code: int,
    tokenizer_blob: bytes | None,
) -> Forecast:
    """The table by component, the visits, the addons and where each addon comes from; what it all will weigh."""
    expected = forecast(cfg, model, bytes_code, tokenizer_blob)
    table = model_table(model, expected.bytes_by_name)
    name = cfg["choices"]["arch"]
    console.table(f"{name}, size {cfg['size']['name']}: {table.parameters:,} parameters", table.rows, HEADER)
    for note in table.notes:
        console.line(note)
    for addon, origin in cfg["choices"]["arch/addon"].items():
        console.line(f"addon {addon}, from {origin}: at {', '.join(table.sites[addon])}")
    console.line(f"forecast {expected}")
    return expected


def compare_forecast(run: Run, dataset: Dataset, model: Model, expected: Forecast, artifact: Artifact) -> None:
    """What was forecast beside what it became; and the whole ledger of what is over its cap.

    Where k was fitted, the size forecast is that of the k taken: the target is met in any case.
    """
    if run.k_factor is not None:
        with run.stage("quantize and pack"):
            blob = dataset.tokenizer.to_blob()
            expected = forecast(run.cfg, model, len(run.script), blob, run.k_factor)
    run.tell("forecast", expected.against(artifact.bytes_total))
    if artifact.over_by:
        run.console.line(ledger_text(artifact))
        run.console.table("bytes by part", ledger_table(artifact))
