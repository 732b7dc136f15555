"""Every sweep file says what it asks, and its grid is made of words that whoever runs it takes."""

from pathlib import Path

import pytest

from pgolf.config.compose import compose, conf_dir, settings
from pgolf.config.eval_words import read_words
from pgolf.config.preflight import preflight
from pgolf.config.requantize_words import GROUPS
from pgolf.config.sweep_file import SweepFile, read_sweep
from pgolf.run.measuring import PASSES
from pgolf.run.rules import check

SWEEPS = sorted((Path(__file__).parent.parent / "sweeps").glob("*.yaml"))
MOST_PUBLISHED_LETTERS = 120


def compose_jobs(sweep: SweepFile, jobs) -> None:
    """As whoever runs the sweep does."""
    for job in jobs:
        if sweep.by == "train":
            cfg = sweep.settings(job)
            check(cfg)
            assert cfg["sweep"] == sweep.name and cfg["stop_after"] in (None, sweep.score)
        elif sweep.by == "compare":
            read_words(["artifact=given", *(word for word in job if word not in PASSES)])
        else:
            assert all(word.partition("=")[0].partition(".")[0].partition("/")[0] in GROUPS for word in job)
            preflight(job, conf_dir(), lambda words: settings(compose(words)), sweeps=False)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_file_says_what_it_asks_and_its_first_and_last_job_compose(path):
    sweep = read_sweep(path)
    assert sweep.heads["Question"].endswith("?") and sweep.heads["Answer"] and sweep.heads["Cost"]
    command = sweep.heads["Command"]
    how = "search" if sweep.by == "search" else "sweep"
    assert (f"-cn {path.stem}" if sweep.by == "train" else f"pgolf {how} sweeps/{path.stem}.yaml") in command
    if sweep.by == "search":
        cfg = sweep.settings(sweep.fixed)
        check(cfg)
        assert sweep.space and sweep.trials and cfg["stop_after"] == sweep.score
        return
    labels = [sweep.label(job) for job in sweep.jobs]
    assert len(set(labels)) == len(labels) > 1
    assert any(set(sweep.base) <= set(label.split()) for label in labels)
    for row in sweep.published:
        fitting = [label for label in labels if set(row.words) <= set(label.split())]
        assert fitting or not row.words, f"{row.label}: no job has {row.words}"
    compose_jobs(sweep, [sweep.jobs[0], sweep.jobs[-1]])


@pytest.mark.slow  # first and last: above
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_job_of_a_sweep_file_composes(path):
    sweep = read_sweep(path)
    seedless = {tuple(word for word in job if not word.startswith("seed=")) for job in sweep.jobs}
    compose_jobs(sweep, sorted(seedless))
