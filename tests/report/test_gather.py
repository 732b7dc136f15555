"""Every folder that looks like a run is counted or named."""

import json
import shutil

import pytest

from pgolf.core.errors import RunError
from pgolf.report.experiments import experiments
from pgolf.report.gather import gather
from pgolf.report.history import RunHistory
from pgolf.report.page import report
from tests.report.making import config, write_run, write_seeds


def named(found):
    """Folder name → why it does not count, for everything that does not."""
    return {p.path.name: p.reason for p in found.problems} | {
        entry.source.name: entry.excluded for entry in found.entries if entry.excluded
    }


def test_runs_are_found_at_any_depth_and_once(tmp_path):
    write_seeds(tmp_path / "a" / "deep", "x", [1.2, 1.3])
    found = gather([tmp_path, tmp_path / "a", tmp_path / "a" / "deep" / "x" / "seed=1"])
    assert [entry.seed for entry in found.entries] == [1, 2] and not found.problems
    (direct,) = gather([tmp_path / "a" / "deep" / "x" / "seed=1" / "result.json"]).entries
    assert direct.val_bpb == 1.2 and direct.scored.data == "sotu"


TRAIN = {"seconds": 290.0, "steps": 5, "ms_per_step": 5.0}
BROKEN = {
    "seed=11": ("an empty folder", lambda folder: shutil.rmtree(folder) or folder.mkdir(), "empty"),
    "seed=12": ("no result", lambda folder: (folder / "result.json").unlink(), "without a result"),
    "seed=13": ("half a file", lambda folder: (folder / "result.json").write_text('{"schema_version": 1,'), "not JSON"),
    "seed=14": ("another schema", lambda folder: change(folder, schema_version=2), "schema version 2"),
    "seed=15": ("no scores", lambda folder: change(folder, scores=None), "scores is None, not a mapping"),
    "seed=16": (
        "words for numbers",
        lambda folder: change(folder, train={"seconds": "long"}),
        "train.seconds is 'long'",
    ),
    "seed=17": ("no config", lambda folder: (folder / "config.yaml").unlink(), "data is not known"),
    "seed=18": (
        "another's config",
        lambda folder: (folder / "config.yaml").write_text("a: 1"),
        "not the config of a run",
    ),
    "seed=19": ("nothing in it", lambda folder: (folder / "result.json").write_text("[]"), "not a result of pgolf"),
    "seed=20": ("no status", lambda folder: change(folder, status="splendid"), "splendid"),
    "seed=21": ("no hash", lambda folder: change(folder, run={"config_hash": None}), "run.config_hash is None"),
    "seed=23": (
        "no steps to time",
        lambda folder: change(folder, train=TRAIN | {"ms_per_step": None}),
        "do not compare",
    ),
    "seed=24": ("a budget in words", lambda folder: change(folder, budget={"train_seconds": "long"}), "do not compare"),
    "seed=25": ("nothing measured", lambda folder: change(folder, ledger=[1]), "ledger is [1]"),
    "seed=26": ("a lone number", lambda folder: change(folder, scores=3), "scores is 3, not a mapping"),
    "seed=27": ("bytes beyond any", lambda folder: change(folder, artifact={"bytes_total": 10**400}), "out of range"),
    "seed=28": ("bytes below none", lambda folder: change(folder, artifact={"bytes_total": -1}), "out of range"),
    "seed=22": (
        "bytes in words",
        lambda folder: change(folder, artifact={"bytes_total": True}),
        "artifact.bytes_total",
    ),
}


def change(folder, **changes):
    path = folder / "result.json"
    result = json.loads(path.read_text())
    for name, value in changes.items():
        result[name] = {**result[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(result))


@pytest.mark.parametrize("name", BROKEN, ids=[what for what, *_ in BROKEN.values()])
def test_a_folder_that_is_no_whole_run_is_named(tmp_path, name):
    _, breaks, reason = BROKEN[name]
    folder = write_run(tmp_path, "x", int(name[5:]), 1.2)
    breaks(folder)
    write_run(tmp_path, "x", 1, 1.2, key="another config")
    found = gather([tmp_path])
    assert reason in named(found)[name]
    assert 1 in [entry.seed for entry in found.entries]


def test_a_run_that_was_set_aside_is_disclosed(tmp_path):
    folder = write_run(tmp_path, "x", 1, 1.2)
    (folder / "unfinished-1").mkdir()
    (problem,) = gather([tmp_path]).problems
    assert "unfinished-1" in problem.reason


UNCOUNTED = {
    "over the cap": ({"bytes_total": 1_000_001}, "1 bytes over the cap"),
    "over the cap, and says so": (
        {"bytes_total": 1_000_001, "status": "over_cap", "reason": "1 over"},
        "over cap: 1 over",
    ),
    "certificate failed": ({"passed": False, "status": "certificate_failed"}, "certificate failed"),
    "certificate failed, and hidden": ({"passed": False}, "its certificate failed"),
    "not valid": ({"valid": False}, "not valid"),
    "below nothing": ({"val_loss": -1.0, "val_bpb": -1.0}, "no number above 0"),
    "a subset": ({"subset": True}, "subset"),
    "rows that sum to more": ({"sum_p_max": 1.5}, "rows sum to as much as 1.5"),
    "no number": ({"val_loss": float("nan"), "val_bpb": float("inf")}, "no number above 0"),
    "too slow": ({"budget_seconds": 60.0}, "evaluation took 61.0 s"),
    "broken off": ({"status": "interrupted", "reason": "Ctrl-C"}, "ended as interrupted: Ctrl-C"),
    "no number in training": ({"status": "nan_loss"}, "ended as nan loss"),
}


@pytest.mark.parametrize("what", UNCOUNTED)
def test_a_score_that_is_not_valid_never_counts(tmp_path, what):
    changes, reason = UNCOUNTED[what]
    limit = changes.get("budget_seconds", 300.0)
    cfg = config(budget__eval_seconds=limit)
    write_run(tmp_path, "x", 1, 1.1, cfg=cfg, **{k: v for k, v in changes.items() if k != "budget_seconds"})
    write_run(tmp_path, "x", 2, 1.2, cfg=cfg, seconds_of_score=1.0)
    bad, good = gather([tmp_path]).entries
    assert reason in bad.excluded and not good.excluded
    (one,) = experiments([bad, good])
    assert one.seeds == (2,) and one.bpb.mean == 1.2 and len(one.runs) == 2


def test_what_was_odd_in_training_is_told_and_does_not_keep_a_score_from_counting(tmp_path):
    folder = write_run(tmp_path, "x", 1, 1.2)
    result = json.loads((folder / "result.json").read_text())
    result["anomalies"] = [{"step": 3, "text": "loss spike at step 3"}, {"step": 9, "text": "another"}]
    (folder / "result.json").write_text(json.dumps(result))
    (entry,) = gather([tmp_path]).entries
    assert "odd in training: loss spike at step 3; and 1 more" in entry.notes and not entry.excluded


def test_a_run_without_a_final_score_counts_by_its_dev_score_alone(tmp_path):
    write_run(tmp_path, "x", 1, None)
    assert gather([tmp_path]).entries[0].excluded == "has no final score"
    (dev,) = gather([tmp_path], "dev").entries
    assert not dev.excluded and dev.val_bpb == pytest.approx(1.31)


def test_a_copied_result_in_a_folder_of_another_seed_does_not_count(tmp_path):
    shutil.copytree(write_run(tmp_path, "x", 1, 1.2), tmp_path / "x" / "seed=2")
    assert "that of seed=1" in named(gather([tmp_path]))["seed=2"]


def test_places_without_runs_are_said(tmp_path):
    (tmp_path / "nothing").mkdir()
    (problem,) = gather([tmp_path / "nothing"]).problems
    assert problem.reason == "no run in it or below it"
    with pytest.raises(RunError, match="nothing here"):
        gather([tmp_path / "missing"])
    (tmp_path / "a.log").write_text("seed:1\n")
    assert "--import-log" in gather([tmp_path / "a.log"]).problems[0].reason


def test_links_in_a_circle_end(tmp_path):
    write_run(tmp_path, "x", 1, 1.2)
    (tmp_path / "x" / "again").symlink_to(tmp_path)
    assert len(gather([tmp_path]).entries) == 1


def places(node, at=()):
    for key, value in node.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from places(value, (*at, key))


@pytest.mark.parametrize("value", [None, "x", -1, [], True, 10**400, "nothing"], ids=str)
def test_no_value_of_a_result_ends_a_report(tmp_path, value):
    """Whatever stands in its place: the run counts, or is named."""
    folder = write_run(tmp_path, "x", 1, 1.2)
    whole = (folder / "result.json").read_text()
    for place in places(json.loads(whole)):
        result = json.loads(whole)
        node = result
        for key in place[:-1]:
            node = node[key]
        if value == "nothing":
            del node[place[-1]]
        else:
            node[place[-1]] = value
        (folder / "result.json").write_text(json.dumps(result))
        found = gather([folder])
        assert len(found.entries) + len(found.problems) >= 1
        assert "".join(report(experiments(found.entries), [], found.problems, found.configs).page().lines())
        assert RunHistory([folder]).chosen([])
