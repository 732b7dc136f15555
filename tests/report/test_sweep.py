"""A sweep's report finds the runs of its grid by what they are, names jobs without a score, and compares by seed."""

import csv
from pathlib import Path

import pytest

from pgolf.cli.main import main
from pgolf.config.naming import config_hash, run_name
from pgolf.config.sweep_file import read_sweep
from pgolf.core.errors import ConfigError
from pgolf.core.jobs import FAILED, JobEnd, journal
from pgolf.report.statistics import Sample, one_sample
from pgolf.report.sweep import sweep_report
from pgolf.report.sweep_picture import COLUMNS, write_csv
from pgolf.track.measured import Measured, add_measured, place_of
from tests.report.making import score, write_run

GRID = """# Question: does clipping help?
# Command:  python train.py -cd sweeps -cn clip
# Answer:   not run yet.
defaults: [config, override size: tiny, override data: tiny, _self_]
sweep: clip
study:
  base: "train.grad_clip=1.0"
  published:
    - {label: "clip 0.3", value: 1.3240, unit: bpb, source: "#687", words: "train.grad_clip=0.3"}
    - {label: none, value: 1.3256, unit: bpb, source: "#687", words: "train.grad_clip=1.0"}
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      train.grad_clip: 0.3,1.0
      seed: 1,2,3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sweeps" / "clip.yaml"
    path.parent.mkdir()
    path.write_text(GRID)
    return path


def write_job(sweep, root, job, bpb, **changes):
    cfg = sweep.settings(job)
    name = run_name(cfg, cfg["choices"])
    return write_run(root, name, cfg["seed"], bpb, key=config_hash(cfg), **changes)


def test_runs_are_found_by_their_content_and_compared_seed_by_seed(file, tmp_path):
    sweep, runs = read_sweep(file), tmp_path / "runs"
    scores = [1.30, 1.20, 1.41, 1.32, 1.21, 1.44]  # of clip 0.3 and then 1.0, each of seeds 1 to 3
    for job, bpb in zip(sweep.jobs, scores, strict=True):
        write_job(sweep, runs, job, bpb)
    write_run(runs, "another", 1, 0.5)
    report = sweep_report(sweep, [runs])
    clipped, base = report.arms
    assert (clipped.words, base.words) == ("train.grad_clip=0.3", "train.grad_clip=1.0")
    assert not report.unseen and report.base == 1
    expected = one_sample(Sample.of([-0.02, -0.01, -0.03]), 0.0)
    assert clipped.paired.mean == pytest.approx(-0.02) and clipped.paired.interval == pytest.approx(expected.interval())
    assert clipped.shown == "not shown" and clipped.welch[0] < clipped.paired.interval[0]
    assert [row.value for row in clipped.published] == [1.3240]
    shown = "\n".join(line for table in report.tables() for line in table.text())
    assert "1.324 (-0.0016; ours not shown)" in shown
    assert "does clipping help?" in shown and "answer: not run yet." in shown and "1.3256" in shown


def test_every_job_without_a_score_is_named_with_the_reason(file, tmp_path):
    sweep, runs = read_sweep(file), tmp_path / "runs"
    jobs = sweep.jobs
    write_job(sweep, runs, jobs[0], 1.3)
    write_job(sweep, runs, jobs[1], None, status="nan_loss", reason="the loss is nan at step 7")
    half = write_job(sweep, runs, jobs[2], 1.3)
    (half / "result.json").unlink()
    cfg = sweep.settings(jobs[3])
    label = f"{run_name(cfg, cfg['choices'])}/seed=1"
    journal(runs, "clip", JobEnd(3, "train.grad_clip=1.0 seed=1", label, 2, FAILED, "no room on the disk", 1.0))
    report = sweep_report(sweep, [runs])
    found = {(one.words, one.seed): (one.what, one.why) for one in report.unseen}
    assert found[("train.grad_clip=0.3", 2)] == ("not counted", "ended as nan loss: the loss is nan at step 7")
    assert found[("train.grad_clip=0.3", 3)][0] == "unfinished"
    assert found[("train.grad_clip=1.0", 1)] == ("failed", "no room on the disk")
    assert found[("train.grad_clip=1.0", 2)][0] == "missing"
    assert len(found) == 5 and report.base is None
    out = tmp_path / "clip.csv"
    write_csv(report, out)
    rows = list(csv.DictReader(out.open()))
    assert tuple(rows[0]) == COLUMNS and [row["outcome"].partition(":")[0] for row in rows].count("scored") == 1
    assert len(rows) == 6


def test_two_seeds_show_nothing(file, tmp_path):
    sweep, runs = read_sweep(file), tmp_path / "runs"
    for job in sweep.jobs:
        if "seed=3" not in job:
            write_job(sweep, runs, job, 1.2 if "train.grad_clip=0.3" in job else 1.5)
    assert sweep_report(sweep, [runs]).arms[0].shown == "not shown: 2 seeds in common"


def test_float_scores_of_runs_without_an_artifact_count_where_they_are_asked_for(file, tmp_path):
    file.write_text(GRID.replace("study:\n", "study:\n  score: prequant\n"))
    sweep, runs = read_sweep(file), tmp_path / "runs"
    folder = write_job(sweep, runs, sweep.jobs[0], None)
    (point,) = sweep_report(sweep, [runs]).arms[0].points
    assert point.bpb == pytest.approx(1.30) and folder.exists()


def test_measurements_on_finished_runs_are_reported_by_the_seed_of_the_weights(file, tmp_path):
    file.write_text(
        GRID.replace("study:\n", "study:\n  by: compare\n  tokens: 100\n")
        .replace('base: "train.grad_clip=1.0"', 'base: "ngram.max_order=2"')
        .replace(
            "      train.grad_clip: 0.3,1.0\n      seed: 1,2,3\n", "      ngram: strict\n      ngram.max_order: 2,3\n"
        )
    )
    sweep, runs = read_sweep(file), tmp_path / "runs"
    for seed in (1, 2, 3):
        run = write_run(runs, "base", seed, 1.3)
        for job in sweep.jobs[: 2 if seed < 3 else 1]:
            sums = {"sum_p_mean": 1.5, "claimed_bpb": 0.9, "renormalised_bpb": 1.4} if "3" in job[1] else {}
            facts = {**score(1.2 + seed / 100, "dev").as_dict(), **sums}
            add_measured(place_of(run, "clip"), [Measured(job, "w", 100, facts, None, 1.0)])
        add_measured(place_of(run, "clip"), [Measured(sweep.jobs[1], "w", 7, facts, None, 1.0)])  # of less text
    report = sweep_report(sweep, [runs])
    two, three = report.arms
    assert [round(point.bpb, 2) for point in two.points] == [1.21, 1.22, 1.23] and two.seeds == (1, 2, 3)
    assert [(point.bpb, point.claimed, point.sum_p_mean) for point in three.points] == [(1.4, 0.9, 1.5)] * 2
    assert [(one.words, one.seed, one.what) for one in report.unseen] == [("ngram.max_order=3", 3, "missing")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("study:\n", "study:\n  answers: 3\n", "study.answers: study takes"),
        ("unit: bpb, ", "", "row 1: a row has label, value, unit, source"),
        ("value: 1.3240", "value: much", "row 1: 'much' is no number"),
        ("study:\n", "study:\n  by: hand\n", "'hand' is none of train, compare, requantize"),
        ("  mode: MULTIRUN\n", "", "no sweep"),
    ],
)
def test_what_is_wrong_with_a_sweep_file_is_named(file, old, new, expected):
    file.write_text(GRID.replace(old, new, 1))
    with pytest.raises(ConfigError, match=expected):
        read_sweep(file)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: [", "while parsing a flow node"),
        (b"\xff\xfe\xc3", "codec can't decode byte 0xff"),
        (b"", "makes no run: no seed in it"),
        (b"hydra: {mode: MULTIRUN}", "makes no run: no seed in it"),
        (b"defaults: 3", "defaults must be a list"),
        (b"defaults: [config, _self_]\nhydra: {mode: MULTIRUN}", "no sweep: hydra.mode: MULTIRUN"),
        (GRID.replace("0.3,1.0\n", "interval(0.3,1.0)\n", 1).encode(), "train.grad_clip: only a search draws from an"),
    ],
)
def test_what_is_no_sweep_is_one_message(file, capsys, content, expected):
    file.write_bytes(content)
    for command in ("report", "search"):
        assert main([command, str(file)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert expected in line


def test_a_folder_that_cannot_be_made_is_one_message(file, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    for out in ("/proc/nope", str(tmp_path / "taken")):
        assert main(["report", str(file), str(tmp_path), "--out", out]) == 2
        assert f"{out}: cannot be made (" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no such sweep file"):
        read_sweep(Path("sweeps/nothing.yaml"))


def test_a_sweep_is_drawn(file, tmp_path):
    pytest.importorskip("matplotlib")
    from pgolf.report.sweep_picture import draw_sweep

    sweep, runs = read_sweep(file), tmp_path / "runs"
    for number, job in enumerate(sweep.jobs):
        write_job(sweep, runs, job, 1.3 + number / 100)
    out = tmp_path / "clip.svg"
    draw_sweep(sweep_report(sweep, [runs]), out)
    assert b"<svg" in out.read_bytes() and out.stat().st_size < 60_000
