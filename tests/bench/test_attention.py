"""The benchmark prints a line for each case and the training step, takes turns, and its factor is over pairs."""

import re

import pytest

from pgolf.bench import attention as bench
from pgolf.cli.main import main

SMALL = ["--windows", "20", "--batch", "2", "--head-width", "8", "--block", "8", "--rounds", "1"]


def test_every_case_and_the_training_step_have_a_line(capsys):
    assert main(["bench", "attention", *SMALL, "--steps", "1", "--size", "tiny", "--eager"]) == 0
    shown = capsys.readouterr().out
    assert "2 windows, 2 heads of 8, 1 key/value heads, blocks of 8, 1 threads, eager; CPU milliseconds" in shown
    found = re.findall(
        r"^ +20  (float32|bfloat16) +(forward(?:\+backward)?) +([\d.]+) +([\d.]+)  ([\d.]+)$", shown, re.M
    )
    assert [row[:2] for row in found] == [
        (dtype, direction) for dtype in ("float32", "bfloat16") for direction in ("forward", "forward+backward")
    ]
    step = re.search(
        r"size=tiny, \w+, eager: sdpa \d+ ms, [\d,]+ tokens/s, loss ([\d.]+), first step \d+ s; "
        r"auto \d+ ms, [\d,]+ tokens/s, loss ([\d.]+), first step \d+ s; sdpa/auto [\d.]+",
        shown,
    )
    assert step and float(step[1]) == pytest.approx(float(step[2]), abs=2e-2)


def test_actions_take_turns_after_a_warm_up_and_the_factor_is_the_median_of_pairs():
    order, ticks = [], iter(range(100))
    found = bench.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, lambda: next(ticks))
    assert order == ["a", "b"] * (bench.WARM_UP + 2)
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 2, "b": 2}
    assert bench.factor([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--heads", "3", "--kv-heads", "2"], "--heads: 3 is no multiple"),
        (["--size", "tyny"], "Did you mean 'tiny'?"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, message, capsys):
    assert main(["bench", "attention", *SMALL, *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("word", "value", "least"), [("--block", "0", 1), ("--windows", "0", 1), ("--steps", "-1", 0)])
def test_a_count_out_of_range_is_refused(word, value, least, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "attention", *SMALL, word, value])
    assert stop.value.code == 2
    assert f"argument {word}: {value} is out of range: at least {least}" in capsys.readouterr().err
