"""The project's dashboard in W&B as code: a workspace for the runs that ``logger=wandb`` mirrors there.

Runs stand by experiment, sweep and config; columns hold score, certificate, bytes and damage; panels show curves over
steps and over seconds, and bars of each config's mean over its seeds with the standard error. The names are those of
``pgolf.track.columns`` and of what a run logs. Built with wandb_workspaces (the extra ``dashboard``), which is imported
when a dashboard is asked for; saving alone needs a key and a network.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pgolf.core.atomic import write_text_atomic
from pgolf.core.errors import RunError

NAME = "pgolf"
GROUPED_BY = ("choices.experiment", "sweep")  # keys of the config; then by W&B's own group, one for each config
_COLUMNS = (
    *("config:sweep.value", "config:choices.value.experiment", "run:jobType", "tags:__ALL__", "summary:status"),
    *("summary:score/bpb", "summary:score/counted_bpb", "summary:score/claimed_bpb", "summary:score/renormalised_bpb"),
    *("summary:score/sum_p_mean", "summary:score/sum_p_max", "summary:score/valid", "summary:score/subset"),
    *("summary:certificate/passed", "summary:certificate/n", "summary:certificate/bound"),
    *("summary:certificate/failed", "summary:bytes/total", "summary:bytes/left", "summary:quantization/damage_bpb"),
    *("summary:train/steps", "summary:seconds/train", "summary:seconds/evaluate", "summary:anomalies"),
)
_MOST_BARS = 50  # W&B's own limit is lower than a sweep
_SEEDS: dict[str, Any] = {"groupby": "Group", "groupby_aggfunc": "mean", "groupby_rangefunc": "stderr"}


def build_dashboard(project: str, entity: str) -> Any:
    """The workspace, ready to be saved. Raises RunError where the package is missing."""
    try:
        import wandb_workspaces.expr as expr
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise RunError(f"a dashboard needs wandb-workspaces ({error}): pip install 'pgolf[dashboard]'") from error

    def curve(title: str, x: str, *y: str, regex: str | None = None) -> Any:
        axes = {"step": "steps", "train_seconds": "seconds of training"}
        return panels.LinePlot(title=title, x=x, y=list(y), title_x=axes[x], metric_regex=regex, **_SEEDS)

    def bars(title: str, *metrics: str, unit: str) -> Any:
        limits: dict[str, Any] = {"max_bars_to_show": _MOST_BARS, "max_runs_to_show": 10 * _MOST_BARS}
        return panels.BarPlot(title=title, metrics=list(metrics), title_x=unit, **limits, **_SEEDS)

    def section(name: str, shown: Sequence[Any], is_open: bool = True) -> Any:
        return workspaces.Section(name=name, panels=list(shown), is_open=is_open)

    bpb, error_bars = "bits per byte", "mean of the seeds ± standard error"
    sections = [
        section(
            "Ablations: each config over its seeds",
            [
                bars(f"Counted score, {error_bars}", "score/counted_bpb", unit=bpb),
                bars(f"Dev score, {error_bars}", "score/dev_bpb", unit=bpb),
                bars(f"Milliseconds a step, {error_bars}", "train/ms_per_step", unit="ms"),
                panels.ScatterPlot(title="Score against bytes", x="bytes/total", y="score/counted_bpb"),
            ],
        ),
        section(
            "Over steps",
            [
                curve("Training loss", "step", "train_loss"),
                curve("Dev score of a sample", "step", "dev_bpb"),
            ],
        ),
        section(
            "Over seconds",
            [
                curve("Training loss", "train_seconds", "by_seconds/train_loss"),
                curve("Dev score of a sample", "train_seconds", "by_seconds/dev_bpb"),
            ],
        ),
        section(
            "Bytes",
            [
                bars(
                    "Byte ledger",
                    *("bytes/weights", "bytes/packed", "bytes/code", "bytes/tokenizer", "bytes/total"),
                    unit="bytes",
                ),
                bars("Bytes left under the cap", "bytes/left", unit="bytes"),
            ],
        ),
        section(
            "Quantization",
            [
                bars(f"Damage, {error_bars}", "quantization/damage_bpb", unit=bpb),
                bars("Before and after", "score/prequant_bpb", "score/roundtrip_bpb", unit=bpb),
            ],
        ),
        section(
            "Certificate",
            [
                bars("Claimed, renormalised", "score/claimed_bpb", "score/renormalised_bpb", unit=bpb),
                bars("Mean and largest sum of a row", "score/sum_p_mean", "score/sum_p_max", unit="probability"),
                panels.ScatterPlot(title="Positions audited, share bounded", x="certificate/n", y="certificate/bound"),
            ],
        ),
        section("Seconds", [bars("Of each stage", *_stages(), unit="seconds")], is_open=False),
        section(
            "Inside the model",
            [
                curve("Norms of gradients", "step", regex="^grad_norm"),
                curve("Norms of updates", "step", regex="^update_norm"),
                curve("Size of weights", "step", regex="^weight_rms"),
                curve("Size of activations", "step", regex="^activation_rms"),
                curve("Gates, lanes, skips, gains", "step", regex="^learned/"),
                curve("Where a step's time goes", "step", regex="^time/"),
            ],
            is_open=False,
        ),
    ]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis="step", max_runs=_MOST_BARS),
        runset_settings=workspaces.RunsetSettings(
            groupby=[*(expr.Config(key) for key in GROUPED_BY), expr.Metric("Group")],
            order=[expr.Ordering(expr.Summary("score/bpb"), ascending=True)],
            pinned_columns=list(_COLUMNS),
        ),
    )


def _stages() -> list[str]:
    named = ("prepare", "build", "compile", "train", "validate", "calibrate", "quantize_and_pack", "dev_scores")
    return [f"seconds/{stage}" for stage in (*named, "evaluate", "certify")]


def specification(dashboard: Any) -> str:
    """The workspace as JSON, as W&B keeps it."""
    view = dashboard._to_model()
    spec = json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))
    facts = {"entity": view.entity, "project": view.project, "name": view.display_name, "type": "project-view"}
    return json.dumps({**facts, "spec": spec}, indent=2, ensure_ascii=False) + "\n"


def save_dashboard(dashboard: Any) -> str:
    """Save it in W&B as a new view; its address. Raises RunError for whatever W&B or the network says."""
    import wandb

    try:
        if not dashboard.entity:
            dashboard.entity = wandb.Api().default_entity or ""
        if not dashboard.entity:
            raise RunError("the account has no entity of its own: give --entity")
        dashboard.save()
        return str(dashboard.url)
    except RunError:
        raise
    except Exception as error:  # the package's own errors are of many kinds
        lines = str(error).strip().splitlines() or [""]
        raise RunError(f"W&B did not take it ({type(error).__name__}: {lines[0][:200]})") from error


def write_specification(dashboard: Any, out: Path) -> None:
    """Raises RunError where ``out`` cannot be written."""
    write_text_atomic(out, specification(dashboard))
