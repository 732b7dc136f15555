"""A sweep over finished runs measures each job once, goes on where it was, and tells what it could not measure."""

import pytest

from pgolf.cli.main import main
from pgolf.config.sweep_file import read_sweep
from pgolf.report.sweep import sweep_report
from pgolf.track.measured import place_of, read_measured
from pgolf.track.result import RunFacts, build_result, write_result
from tests.proof.making import write_artifact

GRID = """# Question: how long?
# Command:  pgolf sweep sweeps/orders.yaml RUNS…
# Answer:   not run yet.
defaults: [config, _self_]
sweep: orders
study:
  by: compare
  tokens: 200
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      mixer: fixed
      ngram: strict
      ngram.max_order: 2,3
"""

BASE = RunFacts("base", 1, 1, None, None, "", "python train.py")


@pytest.fixture
def sweep(tmp_path, capsys):
    """``sweep(grid, words)``: exit status, lines, errors, what is kept of the run."""
    run = tmp_path / "runs" / "base" / "seed=1"
    run.mkdir(parents=True)
    write_artifact(run / "artifact.pgolf")
    file = tmp_path / "orders.yaml"
    text = ["data=tiny", "data.document_count=10", f"cache_dir={tmp_path / 'cache'}"]

    def measured(grid=GRID, more=()):
        file.write_text(grid)
        text[3:] = more
        status = main(["sweep", str(file), str(tmp_path / "runs"), *(part for word in text for part in ("-w", word))])
        shown = capsys.readouterr()
        return status, shown.out.splitlines(), shown.err, read_measured(place_of(run, "orders"))

    return measured


def test_each_job_is_measured_once_and_a_failed_one_stops_no_other(sweep):
    status, lines, _, first = sweep()
    assert status == 0 and lines[-1] == "sweep: 2 jobs: 2 finished"
    assert [one.words[2] for one in first] == ["ngram.max_order=2", "ngram.max_order=3"]
    assert {one.score["tokens"] for one in first} == {199} and all(one.score["split"] == "dev" for one in first)
    status, lines, errors, then = sweep(GRID.replace("max_order: 2,3", "max_order: 2,3,0,4"))
    assert status == 2 and then[:2] == first and len(then) == 3
    assert lines[0].startswith("kept 2 of 4") and "sweep: 4 jobs: 1 finished, 2 kept, 1 failed" in lines
    assert "max_order" in errors and any("failed: job" in line and "max_order=0" in line for line in lines)


def test_another_length_of_text_is_another_measurement_and_half_a_line_is_none(sweep, tmp_path):
    sweep()
    place = place_of(tmp_path / "runs" / "base" / "seed=1", "orders")
    with open(place, "a") as file:
        file.write('{"words": ["ngram.max')
    kept = sweep(GRID.replace("tokens: 200", "tokens: 100"))[3]
    assert [one.tokens for one in kept] == [200, 200, 100, 100]


def test_other_words_beside_the_axes_are_another_measurement_and_the_report_tells_them_apart(sweep, tmp_path, capsys):
    first = sweep()[3]
    status, lines, _, both = sweep(more=["data.text_seed=1"])
    assert status == 0 and not any(line.startswith("kept") for line in lines)
    assert len(first) == 2 and both[:2] == first and len(both) == 4
    assert both[0].score["val_bpb"] != both[2].score["val_bpb"]
    run, file = tmp_path / "runs" / "base" / "seed=1", tmp_path / "orders.yaml"
    write_result(run, build_result(status="finished", reason="", run=BASE, budget={}, ledger={}))
    ten = ("data=tiny", "data.document_count=10")
    found = sweep_report(read_sweep(file, ten), [tmp_path / "runs"])
    assert [arm.points[0].bpb for arm in found.arms] == [one.score["val_bpb"] for one in first]
    unseen = sweep_report(read_sweep(file), [tmp_path / "runs"]).unseen
    assert unseen[0].why.startswith("measured only with -w data=tiny -w data.document_count=10, or with -w data=tiny")


def test_words_that_only_steer_make_no_other_measurement(sweep, tmp_path):
    sweep()
    status, lines, _, kept = sweep(more=[f"cache_dir={tmp_path / 'elsewhere'}", "logger=[]"])
    assert status == 0 and lines[0].startswith("kept 2 of 2") and len(kept) == 2


def test_several_values_beside_the_axes_are_refused_before_anything_is_measured(sweep):
    for by in ("compare", "requantize"):
        status, _, errors, kept = sweep(GRID.replace("by: compare", f"by: {by}"), ["mixer.share=0.1,0.2"])
        assert status == 2 and not kept and len(errors.splitlines()) == 1
        assert "several values are a sweep, and need an axis in the sweep file" in errors


@pytest.mark.parametrize("by", ["compare", "requantize"])
def test_a_run_that_cannot_be_read_ends_its_own_jobs_alone(sweep, tmp_path, by):
    """Of a requantize sweep, here, neither run has weights: each is told."""
    bad = tmp_path / "runs" / "bad" / "seed=1"
    bad.mkdir(parents=True)
    (bad / "artifact.pgolf").write_bytes(b"none")
    (bad / "result.json").write_text('{"schema_version": 1, "status": "finished"}')
    status, lines, errors, kept = sweep(GRID.replace("by: compare", f"by: {by}"))
    assert status == 2 and len(kept) == (2 if by == "compare" else 0)
    assert ("half a result" if by == "requantize" else "not a pgolf artifact") in errors
    failed = [line for line in lines if line.startswith("  failed: job")]
    assert sum("bad/seed=1" in line for line in failed) == 2 and len(failed) == (2 if by == "compare" else 4)


def test_what_cannot_be_swept_over_is_named(sweep, tmp_path, capsys):
    status, _, errors, _ = sweep(GRID.replace("by: compare", "by: train"))
    assert status == 2 and "python train.py -cd" in errors
    (tmp_path / "empty").mkdir()
    file = tmp_path / "orders.yaml"
    file.write_text(GRID)
    assert main(["sweep", str(file), str(tmp_path / "empty")]) == 2
    assert "no finished run with an artifact there" in capsys.readouterr().err
    assert main(["sweep", str(file), str(tmp_path / "nowhere")]) == 2
    assert "there is nothing here" in capsys.readouterr().err
    assert main(["sweep", str(file), str(tmp_path / "runs"), "-w", "nope=1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1  # not once a job
