"""The dashboard's definition, read back: what a person finds is there, under names that runs have."""

import json
import re

import pytest

from pgolf.cli.main import main
from pgolf.core.errors import RunError
from pgolf.report import dashboard
from pgolf.track.columns import columns_of
from tests.track.conftest import make_sample

pytest.importorskip("wandb_workspaces", reason="the extra 'dashboard' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the package's own

LOGGED = {"train_loss", "dev_bpb", "by_seconds/train_loss", "by_seconds/dev_bpb", "step", "train_seconds"}
STAGES = {"prepare", "build", "compile", "train", "validate", "calibrate", "quantize_and_pack", "dev_scores"} | {
    *("evaluate", "certify"),
}


@pytest.fixture(autouse=True)
def no_key(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def section(tmp_path, capsys):
    """Its definition as ``pgolf dashboard`` writes it where there is no key."""
    assert main(["dashboard", "--project", "golf", "--entity", "us"]) == 0
    said = capsys.readouterr().out
    assert "dashboard-golf.json" in said and "not saved in W&B: no WANDB_API_KEY" in said
    read = json.loads((tmp_path / "dashboard-golf.json").read_text())
    assert (read["entity"], read["project"], read["type"]) == ("us", "golf", "project-view")
    return read["spec"]["section"]


def known(tmp_path):
    """Every column that a run can have, by one that has all."""
    result = make_sample(tmp_path, broken=True).result
    result["artifact"]["bytes_packed"] = 1
    measured = {"uniform": 1, "bound": 0.03, "looked_at": 2}
    result["certificate"]["probes"].append({"letter": "b", "name": "x", "passed": False, "measured": measured})
    result["scores"]["final"]["valid"], result["ledger"] = True, dict.fromkeys(STAGES, 1.0)
    return columns_of(result).keys()


def test_a_person_finds_runs_by_experiment_sweep_and_config_with_score_certificate_and_bytes_as_columns(section):
    (runs,) = section["runSets"]
    assert [(key["section"], key["name"]) for key in runs["grouping"]] == [
        ("config", "choices.value.experiment"),
        ("config", "sweep.value"),
        ("run", "group"),
    ]
    columns = set(runs["runFeed"]["columnPinned"])
    for name in ("passed", "n", "bound"):
        assert f"summary:certificate/{name}" in columns
    assert {"summary:score/claimed_bpb", "summary:score/sum_p_mean", "summary:quantization/damage_bpb"} <= columns


def test_panels_show_curves_over_both_axes_bytes_damage_and_ablations_with_error_bars(section):
    sections = {one["name"]: one["panels"] for one in section["panelBankConfig"]["sections"]}
    for name, axis in (("Over steps", "step"), ("Over seconds", "train_seconds")):
        shown = [panel["config"] for panel in sections[name]]
        assert [config["xAxis"] for config in shown] == [axis, axis]
        drawn = [metric.removeprefix("by_seconds/") for config in shown for metric in config["metrics"]]
        assert drawn == ["train_loss", "dev_bpb"]
    bars = [p["config"] for name in sections for p in sections[name] if "barLimit" in p["config"]]
    assert all((b["groupBy"], b["groupAgg"], b["groupArea"]) == ("group", "mean", "stderr") for b in bars)
    assert {m for b in bars for m in b["metrics"]} >= {
        *("score/counted_bpb", "score/dev_bpb", "quantization/damage_bpb"),
        *("bytes/weights", "bytes/packed", "bytes/code", "bytes/tokenizer"),
    }


def test_every_name_in_it_is_one_that_runs_have(section, tmp_path):
    columns, names = known(tmp_path), set()
    for one in section["panelBankConfig"]["sections"]:
        for panel in one["panels"]:
            config = panel["config"]
            axes = (config.get(axis) or "" for axis in ("xAxis", "yAxis"))
            names |= {*config.get("metrics", []), *(axis.removeprefix("summary:") for axis in axes)}
    pinned = section["runSets"][0]["runFeed"]["columnPinned"]
    names |= {name.removeprefix("summary:") for name in pinned if name.startswith("summary:")}
    assert names - LOGGED - columns - {""} == set()


def test_a_file_is_written_with_a_key_too_where_asked_for_or_where_wandb_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(dashboard, "save_dashboard", lambda made: f"https://there/{made.project}")
    assert main(["dashboard"]) == 0
    assert "https://there/pgolf" in capsys.readouterr().out and not list(tmp_path.glob("*.json"))
    assert main(["dashboard", "--out", "mine.json"]) == 0
    assert json.loads((tmp_path / "mine.json").read_text())["name"] == "pgolf"

    def refused(made):
        raise RunError("W&B did not take it (CommError: no route)")

    monkeypatch.setattr(dashboard, "save_dashboard", refused)
    assert main(["dashboard"]) == 2
    assert re.search(r"no route\); the definition is in dashboard-pgolf\.json", capsys.readouterr().err)
    assert (tmp_path / "dashboard-pgolf.json").is_file()


def test_what_cannot_be_is_refused_by_name(tmp_path, capsys):
    for words in (["--project", "../x"], ["--project", ""], ["--entity", "a\nb"]):
        assert main(["dashboard", *words]) == 2
        assert f"{words[0]}: {words[1]!r} is not 1 to 128 printable" in capsys.readouterr().err
    assert main(["dashboard", "--out", str(tmp_path / "missing" / "x.json")]) == 2
    assert "missing" in capsys.readouterr().err and not list(tmp_path.iterdir())
