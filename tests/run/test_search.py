"""A search draws from its space, ends poor trials early by the rungs, and goes on where a killed one was."""

import json
import math
import re
import subprocess
import sys

import pytest
import yaml

from pgolf.config.space import Axis, space_of
from pgolf.core.errors import ConfigError, RunError

pytest.importorskip("optuna")

from pgolf.run.search import SearchPlan, search

SPACE = (
    Axis("optimizer", ("adam", "muon")),
    Axis("lr", low=0.001, high=0.1, log=True),
    Axis("layers", low=2, high=9, whole=True),
)


def said(words):
    return dict(word.split("=") for word in words)


def loss(words):
    """Best at a rate of 0.01; more steps, a little better."""
    found = said(words)
    return abs(math.log10(float(found["lr"])) + 2) + 1 / float(found.get("budget.train_steps", 100))


def quiet(line):
    pass


def test_an_axis_is_choices_or_an_interval_and_a_command_line_replaces_it():
    params = {
        "lr": "tag(log,interval(0.001,0.1))",
        "n": "tag(int,interval(2,5))",
        "optimizer": "adam,muon",
        "notes": "x",
    }
    axes, fixed = space_of(params, ["optimizer=adam", "seed=1,2"])
    assert axes == [
        Axis("lr", low=0.001, high=0.1, log=True),
        Axis("n", low=2, high=5, whole=True),
        Axis("seed", ("1", "2")),
    ]
    assert fixed == ["notes=x", "optimizer=adam"]


@pytest.mark.parametrize(
    "interval", ["interval(5,5)", "tag(int,interval(1,2.5))", "tag(log,interval(0,1))", "tag(even,interval(0,1))"]
)
def test_what_is_no_interval_is_named(interval):
    with pytest.raises(ConfigError, match=r"^lr: "):
        space_of({"lr": interval})


def test_a_random_search_draws_inside_the_space(tmp_path):
    trials = search(SearchPlan("s", SPACE, ("seed=1",), trials=8), tmp_path, loss, quiet)
    assert [trial.state for trial in trials] == ["complete"] * 8 and len({trial.words for trial in trials}) == 8
    for trial in trials:
        found = said(trial.words)
        assert found["optimizer"] in ("adam", "muon") and 0.001 <= float(found["lr"]) <= 0.1
        assert found["layers"] in map(str, range(2, 10)) and trial.best == pytest.approx(loss(trial.words))


def test_halving_gives_more_steps_to_the_better_ones_alone(tmp_path):
    plan = SearchPlan("s", SPACE, (), trials=18, rungs=(10, 100), factor=3)
    trials = search(plan, tmp_path, loss, quiet)
    first = [trial.scores[10] for trial in trials]
    promoted = [trial for trial in trials if 100 in trial.scores]
    assert len(first) == 18 and 1 <= len(promoted) <= 9
    assert min(first) == min(trial.scores[10] for trial in promoted)
    assert {trial.state for trial in trials if 100 not in trial.scores} == {"pruned"}


def test_a_killed_search_goes_on_with_what_it_had_begun(tmp_path):
    plan, done = SearchPlan("s", SPACE, (), trials=5), []

    def killed_at_three(words):
        done.append(list(words))
        if len(done) == 3:
            raise KeyboardInterrupt
        return loss(words)

    with pytest.raises(KeyboardInterrupt):
        search(plan, tmp_path, killed_at_three, quiet)
    begun = done[-1]
    trials = search(plan, tmp_path, killed_at_three, quiet)
    assert done[3] == begun and len(done) == 6 and len(trials) == 5
    assert [trial.state for trial in trials] == ["complete"] * 5
    assert search(plan, tmp_path, killed_at_three, quiet) == trials and len(done) == 6


def test_a_failed_trial_is_shown_and_wins_nothing(tmp_path):
    trials = search(SearchPlan("s", SPACE, (), trials=2), tmp_path, lambda words: math.inf, quiet)
    assert [(trial.state, trial.best) for trial in trials] == [("failed", math.inf)] * 2


def test_a_search_over_another_space_is_not_mixed_in(tmp_path):
    search(SearchPlan("s", SPACE, (), trials=1), tmp_path, loss, quiet)
    with pytest.raises(ConfigError, match="another space"):
        search(SearchPlan("s", SPACE[:2], (), trials=1), tmp_path, loss, quiet)


def test_a_search_with_other_words_beside_its_space_is_not_passed_off_as_this_one(tmp_path):
    plan = SearchPlan("s", SPACE, (), trials=1, beside=("size=tiny",))
    assert search(plan, tmp_path, loss, quiet) == search(plan, tmp_path, loss, quiet)
    with pytest.raises(ConfigError, match="with other words"):
        search(SearchPlan("s", SPACE, (), trials=1, beside=("size=laptop",)), tmp_path, loss, quiet)


def test_words_that_do_not_compose_are_a_failed_trial_and_the_search_ends(tmp_path):
    done, lines = [], []

    def composed(words):
        done.append(words)
        if len(done) < 5:
            raise ConfigError("layers: no such setting")
        return loss(words)

    plan = SearchPlan("s", SPACE, (), trials=6)
    trials = search(plan, tmp_path, composed, lines.append)
    assert [trial.state for trial in trials] == ["failed"] * 4 + ["complete"] * 2
    assert lines.count("  layers: no such setting") == 4
    assert search(plan, tmp_path, composed, quiet) == trials and len(done) == 6


def test_where_the_first_trials_break_off_the_search_ends(tmp_path):
    done = []

    def broken(words):
        done.append(words)
        return math.nan

    for _ in range(2):
        with pytest.raises(RunError, match=r"s: the first 3 trials broke off.* move .*s\.search aside"):
            search(SearchPlan("s", SPACE, (), trials=9), tmp_path, broken, quiet)
    assert len(done) == 3, "and none more when it is asked again"


def test_where_the_first_trials_are_over_their_cap_others_are_tried(tmp_path):
    done = []

    def over_at_first(words):
        done.append(words)
        return loss(words) if len(done) > 4 else math.inf

    trials = search(SearchPlan("s", SPACE, (), trials=6), tmp_path, over_at_first, quiet)
    assert [trial.state for trial in trials] == ["failed"] * 4 + ["complete"] * 2


def test_trials_are_runs_of_train_py(tmp_path):
    """With what a user types."""
    sweep = tmp_path / "short.yaml"
    axes = {"optimizer.matrix_lr": "tag(log,interval(0.01,0.04))", "optimizer.matrix_weight_decay": "0,0.02"}
    sweep.write_text(
        "# Question: does a search run?\n"
        + yaml.safe_dump(
            {
                "defaults": ["config", {"override hook": ["checkpoint"]}, {"override quant": "none"}, "_self_"],
                "sweep": "short",
                "stop_after": "prequant",
                "study": {"by": "search", "score": "prequant", "trials": 2, "rungs": [2]},
                "hydra": {"mode": "MULTIRUN", "sweeper": {"params": axes}},
            }
        )
    )
    tiny = ["size=tiny", "data=tiny", "tokenizer=bytes", "eval=non_overlapping", "ngram=none", "mixer=none"]
    words = [*tiny, "logger=[jsonl]", "train.compile=never", f"run_root={tmp_path / 'runs'}"]
    command = [sys.executable, "-m", "pgolf", "search", str(sweep), *words]
    first = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    scores = re.findall(r"^  ([\d.]+) after 2 steps$", first.stdout, re.M)
    assert len(scores) == 2
    runs = list((tmp_path / "runs").glob("*/seed=*/result.json"))
    found = {json.loads(run.read_text())["scores"]["prequant"]["val_bpb"] for run in runs}
    assert sorted(f"{bpb:.4f}" for bpb in found) == sorted(scores)
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert again.returncode == 0 and "trial 1" not in again.stdout, "all of it is kept"
