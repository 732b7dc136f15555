"""A run's picture: drawn from its metrics, the same bytes each time, and refused where there is nothing to draw."""

import json

import pytest

from pgolf.core.errors import RunError
from pgolf.track.curves import MOST_NAMED, draw_curves
from pgolf.track.result import write_result

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")


@pytest.fixture
def run(tmp_path, sample):
    write_result(tmp_path, sample().result)
    write_metrics(tmp_path, 200)
    return tmp_path


def write_metrics(run, steps):
    rows = [{"step": n, "train_loss": 5 / n, "train_seconds": n / 10} for n in range(1, steps + 1)]
    rows.append({"step": steps, "dev_bpb": 1.5, "dev_loss": 3.0, "train_seconds": steps / 10})
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_picture_of_a_run_is_the_same_each_time(run):
    for name in ("one.svg", "two.svg"):
        draw_curves(run, run / name)
    one = (run / "one.svg").read_text()
    assert one == (run / "two.svg").read_text()
    assert "training loss (mean of 20 steps)" in one and "bits per byte" in one


def test_a_short_run_has_a_curve_too(run):
    write_metrics(run, 20)
    draw_curves(run, run / "short.svg")
    shown = (run / "short.svg").read_text()
    assert ">training loss<" in shown and ">final " in shown


def test_what_hooks_watched_has_panels_of_its_own_and_what_moved_most_is_named(run):
    with open(run / "metrics.jsonl", "a") as metrics:
        for step in (50, 100):
            learned = {f"learned/gate[{n}]": n * step for n in range(MOST_NAMED + 3)}
            row = {"grad_norm": 1.0, "grad_norm/matrix": step / 9, "activation_rms/0.layer_0": None, **learned}
            metrics.write(json.dumps({"step": step, **row}) + "\n")
        metrics.write('{"step": 100, "grad_norm/head": "x", "learned/odd": true, "weight_rms/huge": 1e308}\n')
    draw_curves(run, run / "watched.svg")
    shown = (run / "watched.svg").read_text()
    for text in ("norm of gradients", "matrix", "all", "gates, lanes, skips and gains (8 of 11 named)", "gate[10]"):
        assert f">{text}<" in shown, text
    for text in ("gate[2]", "head", "odd", "root mean square of weights", "root mean square behind each block"):
        assert f">{text}<" not in shown, text
    assert f'height="{2 * 2.8 * 72:g}pt"' in shown, "two panels more are one row more"


def test_what_cannot_be_drawn_is_refused(run):
    for name in ("x.word", "x"):
        with pytest.raises(RunError, match=rf"{name}: cannot be drawn: its name ends in none of \.svg"):
            draw_curves(run, run / name)
    with pytest.raises(RunError, match=r"x\.svg: cannot be drawn: No such file"):
        draw_curves(run, run / "missing" / "x.svg")
    (run / "metrics.jsonl").write_text('{"step": 1, "train_loss": 2.0, "train_seconds": 1.0}\n')
    with pytest.raises(RunError, match="metrics of 1 steps; a curve needs 2"):
        draw_curves(run, run / "x.svg")
    for line in ("5\n", '{"train_seconds": "x"}\n'):
        (run / "metrics.jsonl").write_text(line)
        with pytest.raises(RunError, match="line 1 holds no metrics"):
            draw_curves(run, run / "x.svg")
    (run / "metrics.jsonl").write_text("{\n")
    with pytest.raises(RunError, match="line 1: not JSON"):
        draw_curves(run, run / "x.svg")


def test_a_score_that_is_no_number_leaves_a_gap(run):
    with open(run / "metrics.jsonl", "a") as metrics:
        metrics.write('{"step": 200, "dev_bpb": null, "dev_loss": null, "train_seconds": 20.0}\n')
    draw_curves(run, run / "gap.png")
