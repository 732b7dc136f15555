"""A sweep goes on where it was, tells what is left, and a job that fails is told and stops nothing."""

import json
import math
import sys
from pathlib import Path

import hydra
import pytest

from pgolf.config.launch import _launch, run_job
from pgolf.config.naming import config_hash, run_name
from pgolf.config.options import conf_dir
from pgolf.config.sweeping import jobs_of, told_apart
from pgolf.core.errors import CannotResume, RunError
from pgolf.core.jobs import FAILED, FINISHED, KEPT, JobEnd, append_end, heading, read_ends, summary
from pgolf.track.earlier import earlier, kept, resumable
from tests.helpers import tiny_settings
from tests.report.making import write_run


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """``sweep(job, *words)``: exit status, what was printed, what was done."""
    monkeypatch.setattr(sys, "argv", ["train.py"])

    def run(job, *words):
        done = []

        def counted(cfg, overrides):
            done.append((cfg["seed"], cfg["resume"]))
            return job(cfg)

        main = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(
            lambda cfg: run_job(counted, cfg, earlier)
        )
        words = ["-m", "size=tiny", f"run_root={tmp_path}/runs", *words]
        status = _launch(main, words)
        shown = capsys.readouterr()
        return status, shown.out.splitlines(), shown.err, done

    return run


def finish(cfg, status="finished"):
    """Leave what a run of ``cfg`` leaves that came to ``status``."""
    name = run_name(cfg, cfg["choices"])
    write_run(Path(cfg["run_root"]), name, cfg["seed"], 1.25, status=status, key=config_hash(cfg))


def trained(cfg):
    finish(cfg)
    return 1.26, 0


def test_a_finished_run_is_kept_and_the_sweep_goes_on_with_the_others(sweep):
    def stops_at_two(cfg):
        if cfg["seed"] == 2:
            raise KeyboardInterrupt
        return trained(cfg)

    with pytest.raises(KeyboardInterrupt):
        sweep(stops_at_two, "seed=1,2,3")
    status, lines, _, done = sweep(trained, "seed=1,2,3")
    assert status == 0 and done == [(2, False), (3, False)]
    assert any(
        line.startswith("kept ") and line.endswith("seed=1: prequant 1.3000, dev 1.2600, final 1.2500")
        for line in lines
    )
    assert lines[-1] == "sweep: 3 jobs: 2 finished, 1 kept"


def test_repeating_a_complete_sweep_trains_nothing_unless_it_is_asked_for(sweep):
    sweep(trained, "seed=1,2")
    assert sweep(trained, "seed=1,2")[3] == []
    assert [seed for seed, _ in sweep(lambda cfg: (1.0, 0), "seed=1,2", "rerun=true")[3]] == [1, 2]


def test_a_failed_job_is_told_and_the_others_run(sweep, tmp_path):
    def fails_at_two(cfg):
        if cfg["seed"] == 2:
            raise RunError("no room on the disk")
        if cfg["seed"] == 3:
            raise ZeroDivisionError("a bug")
        return trained(cfg)

    status, lines, errors, done = sweep(fails_at_two, "seed=1,2,3,4", "sweep=mine")
    assert status == 2 and [seed for seed, _ in done] == [1, 2, 3, 4]
    assert lines[-3:] == [
        "sweep: 4 jobs: 2 finished, 2 failed",
        "  failed: job 2, seed=2: no room on the disk",
        "  failed: job 3, seed=3: ZeroDivisionError: a bug",
    ]
    assert "Traceback" in errors and "pgolf: no room on the disk" in errors
    ends = read_ends(tmp_path / "runs" / "sweeps.jsonl", "mine")
    assert [(end.words, end.outcome) for end in ends if end.outcome == FAILED] == [
        ("seed=2", FAILED),
        ("seed=3", FAILED),
    ]
    assert all(end.run.endswith(f"/{end.words}") for end in ends)
    assert read_ends(tmp_path / "runs" / "sweeps.jsonl", "another") == []


def leave_a_checkpoint(cfg):
    folder = Path(cfg["run_root"]) / run_name(cfg, cfg["choices"]) / f"seed={cfg['seed']}" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "00000007.ckpt").write_bytes(b"whatever")
    raise RunError("killed")


def test_an_unfinished_run_with_a_checkpoint_is_resumed_and_begun_anew_where_nothing_fits(sweep):
    sweep(leave_a_checkpoint, "seed=1,2")

    def fits_for_one(cfg):
        if cfg["resume"] and cfg["seed"] == 2:
            raise CannotResume("resume: of other code")
        return 1.0, 0

    status, lines, errors, done = sweep(fits_for_one, "seed=1,2,3")
    assert status == 0 and done == [(1, True), (2, True), (2, False), (3, False)]
    assert "pgolf: resume: of other code" in errors and "begun anew" in lines


@pytest.mark.parametrize(("status", "expected"), [("over_cap", 3), ("over_time", 3), ("certificate_failed", 4)])
def test_a_kept_run_that_does_not_count_wins_no_search(tmp_path, status, expected):
    cfg = tiny_settings(f"run_root={tmp_path}")
    assert kept(cfg) is None and not resumable(cfg)
    finish(cfg, status)
    found = kept(cfg)
    assert (found.objective, found.status) == (math.inf, expected) and status.replace("_", " ") in found.line


@pytest.mark.parametrize("status", ["failed", "interrupted", "nan_loss"])
def test_a_run_that_broke_off_is_not_kept(tmp_path, status):
    cfg = tiny_settings(f"run_root={tmp_path}")
    finish(cfg, status)
    assert kept(cfg) is None


def test_a_run_of_another_config_under_the_same_name_is_not_kept(tmp_path):
    cfg = tiny_settings(f"run_root={tmp_path}")
    write_run(tmp_path, run_name(cfg, cfg["choices"]), cfg["seed"], 1.25, key="0" * 64)
    assert kept(cfg) is None


def test_a_run_that_stopped_earlier_than_is_asked_for_is_not_kept(tmp_path):
    cfg = tiny_settings(f"run_root={tmp_path}", "stop_after=dev")
    write_run(tmp_path, run_name(cfg, cfg["choices"]), cfg["seed"], None, key=config_hash(cfg))
    assert kept(cfg).objective == pytest.approx(1.31)
    assert kept(tiny_settings(f"run_root={tmp_path}")) is None


def test_the_jobs_are_hydras_and_a_command_line_replaces_an_axis():
    params = {"optimizer": "adam,muon_adamw", "seed": "1,2"}
    jobs = jobs_of(params, ["seed=range(3,6)", "notes=x"])
    assert [" ".join(job) for job in jobs[:2]] == [
        "optimizer=adam seed=3 notes=x",
        "optimizer=adam seed=4 notes=x",
    ]
    assert len(jobs) == 6 and told_apart(jobs, jobs[0]) == ["optimizer=adam", "seed=3"]


def ends(*outcomes, seconds=60.0):
    return [JobEnd(n, f"seed={n}", "", 0, outcome, "", seconds) for n, outcome in enumerate(outcomes)]


def test_time_left_is_judged_by_jobs_that_ran_here():
    assert heading(0, 15, [], 1, "seed=1") == "job 1 of 15: seed=1"
    assert heading(3, 15, ends(KEPT, KEPT, KEPT), 1, "") == "job 4 of 15"
    assert heading(3, 15, ends(KEPT, FINISHED, FAILED), 1, "") == "job 4 of 15, about 12 min left"
    assert heading(4, 15, ends(FINISHED, FINISHED, FINISHED), 2, "") == "job 5 of 15, about 6 min left"


def test_half_a_line_of_a_killed_process_takes_no_other_with_it(tmp_path):
    path = tmp_path / "ends"
    path.write_text(json.dumps({"number": 1})[:-2])
    first, second = ends(FINISHED, FAILED)
    append_end(path, first)
    append_end(path, second)
    assert read_ends(path) == [first, second]
    assert summary([first, second])[1:] == ["  failed: job 2, seed=1: "]
