"""``pgolf requantize RUN quant=… compressor=…``: everything after training, again, from a run's saved weights.

The new run has the same records as one of train.py, a folder and a name of its own, and ``parent_run`` says whose
weights it has. Its training facts are the parent's. Calibration on training text gets its whole reserve, whatever
the parent's training left; whether both fit the budget stands in the record (``valid_time``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pgolf.build import build_model
from pgolf.config.naming import run_name
from pgolf.config.requantize_words import read_words
from pgolf.core.command import complain
from pgolf.core.errors import ConfigError, RunError, UserError
from pgolf.core.process import seed_everything
from pgolf.core.protocols import Model
from pgolf.core.results import TrainResult
from pgolf.data.dataset import Dataset
from pgolf.eval.sealed import check_sealed
from pgolf.eval.source import ScriptSource
from pgolf.run import stages
from pgolf.run.model_report import compare_forecast, report_model
from pgolf.run.record import Run
from pgolf.run.rules import check
from pgolf.track.result import COMPLETE, ModelFacts, read_result
from pgolf.train.state import Weights


@dataclass(frozen=True, slots=True)
class Parent:
    """A finished run: what its training left, its route, and its dev score before quantization."""

    trained: TrainResult
    route: str
    prequant_bpb: float | None


def requantize(run: Path, words: Sequence[str]) -> int:
    """One new run for each combination of ``words``; returns the worst exit status.

    With ``stop_after=dev`` validation is never opened. Raises UserError.
    """
    jobs = read_words(run, words)
    for cfg, _ in jobs:
        check(cfg, trains=False)
        _keep_parent(run, cfg)
    if any(cfg["stop_after"] is None for cfg, _ in jobs):
        check_sealed()
    parent = read_parent(run)
    return max([_status(parent, cfg, overrides) for cfg, overrides in jobs])


def _status(parent: Parent, cfg: Mapping[str, Any], overrides: Sequence[str]) -> int:
    """Of one combination; what is wrong with it is said, and no reason not to try the others."""
    try:
        return _requantize(parent, cfg, overrides)
    except UserError as error:
        complain(error)
        return error.exit_status


def read_parent(run: Path) -> Parent:
    """Raises RunError for a run that did not finish or whose weights cannot be read."""
    result, path = read_result(run), run / "weights.pt"
    if result["status"] not in COMPLETE or not result["train"]:
        raise RunError(f"{run}: it ended as {result['status']!r}; only the weights of finished runs are taken")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        is_old = "schedule" in saved
        weights, route = dict(saved["weights"]), str(saved["schedule" if is_old else "route"])
    except Exception as error:  # torch raises many kinds, by what is wrong with the file
        raise RunError(f"{path}: the run's weights cannot be read ({error})") from error
    if is_old:
        raise RunError(f"{path}: written by an older pgolf, which this one does not read; train it again")
    facts = result["train"]
    # An older run's result does not say what its weights are, nor that something went before its steps.
    more = {name: facts[name] for name in ("seconds_before", "exported") if name in facts}
    trained = TrainResult(weights, facts["seconds"], facts["steps"], facts["tokens"], facts["stopped_by"], **more)
    return Parent(trained, route, (result["scores"]["prequant"] or {}).get("val_bpb"))


def _requantize(parent: Parent, cfg: Mapping[str, Any], overrides: Sequence[str]) -> int:
    with Run.open(cfg, overrides, trains=False) as run:
        _say_what_the_script_cannot(run, cfg)
        dataset = stages.prepare(run)
        with stages.validation_closed(run, dataset):
            model = _restore(run, dataset, parent)
            expected = report_model(run, run.console, dataset, model)
            stages.rehearse(run, dataset, stages.composed(run, dataset, model))
            stages.score_trained(run, dataset, model, parent.trained)
            artifact = stages.export(run, dataset, model, parent.trained)
            compare_forecast(run, dataset, model, expected, artifact)
            _compare_with_parent(run, parent)
            evaluation = stages.score_dev(run, dataset, artifact)
        if cfg["stop_after"] is None:
            scored = stages.score_final(run, dataset, artifact.path, ScriptSource(run.script), evaluation)
            stages.certify_final(run, scored, artifact.sha256)
    return run.status


def _say_what_the_script_cannot(run: Run, cfg: Mapping[str, Any]) -> None:
    """How the weights were trained need not fit what stores them; a script with both can score but not train."""
    try:
        check(cfg)
    except ConfigError as error:
        for problem in error.problems:
            run.tell("script", f"train_gpt.py will score this artifact but not train one: {problem}")


def _restore(run: Run, dataset: Dataset, parent: Parent) -> Model:
    """The model in the state in which training left it."""
    seed_everything(run.cfg["seed"])
    with run.stage("build"):
        model = build_model(run.cfg, dataset, run.device)
        _load(model, parent.trained.state)
        model.use(parent.route)
    run.trained_before, run.train = True, parent.trained
    run.weights = Weights(parent.trained.state, parent.route, parent.trained.steps)
    run.model = ModelFacts(params=sum(p.numel() for p in model.parameters()), size=run.cfg["size"]["name"])
    run.tell("weights", f"of {run.cfg['parent_run']}, {parent.trained.steps:,} steps")
    return model


def _load(model: Model, weights: Mapping[str, Tensor]) -> None:
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        first = str(error).strip().splitlines()
        raise RunError(f"weights.pt: not the weights of this model: {first[min(1, len(first) - 1)].strip()}") from error


def _compare_with_parent(run: Run, parent: Parent) -> None:
    """Say so where dev, before quantization, is not what it was: other data, another tokenizer or machine."""
    now = run.scores["prequant"].val_bpb
    if parent.prequant_bpb is not None and abs(now - parent.prequant_bpb) > 1e-3:
        run.tell(
            "weights",
            f"score {now:.4f} before quantization, {parent.prequant_bpb:.4f} in {run.cfg['parent_run']}: "
            "not the same text, tokenizer or arithmetic",
        )


def _keep_parent(run: Path, cfg: Mapping[str, Any]) -> None:
    """``overwrite`` must not delete the run whose weights are asked for."""
    place = Path(cfg["run_root"]) / run_name(cfg, cfg["choices"])
    if cfg["overwrite"] and run.resolve().parent == place.resolve():
        raise ConfigError(f"overwrite: these words name {run} itself; rerun=true keeps both")
