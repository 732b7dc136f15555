"""A sweep over finished runs measures each job once, goes on where it was, and tells what it could not measure."""

import pytest

from pgolf.cli.main import main
from pgolf.track.measured import place_of, read_measured
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


@pytest.fixture
def sweep(tmp_path, capsys):
    """``sweep(grid, words)``: exit status, lines, errors, what is kept of the run."""
    run = tmp_path / "runs" / "base" / "seed=1"
    run.mkdir(parents=True)
    write_artifact(run / "artifact.pgolf")
    file = tmp_path / "orders.yaml"
    text = ["data=tiny", "data.document_count=10", f"cache_dir={tmp_path / 'cache'}"]

    def measured(grid=GRID):
        file.write_text(grid)
        status = main(["sweep", str(file), str(tmp_path / "runs"), *(part for word in text for part in ("-w", word))])
        shown = capsys.readouterr()
        return status, shown.out.splitlines(), shown.err, read_measured(place_of(run, "orders"))

    return measured


def test_each_job_is_measured_once_and_a_failed_one_stops_no_other(sweep):
    status, lines, _, first = sweep()
    assert status == 0 and lines[-1] == "sweep: 2 jobs: 2 finished"
    assert [one.words[-1] for one in first] == ["ngram.max_order=2", "ngram.max_order=3"]
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
