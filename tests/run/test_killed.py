"""Runs in processes of their own, killed as the system kills: nothing that they had kept is lost."""

import json
import os
import random
import signal
import sys
import time

import pytest

from tests import warm

pytestmark = [
    pytest.mark.slow,  # of one kill: test_resume.py; of many: hook/test_checkpoint.py
    pytest.mark.skipif(sys.platform != "linux", reason="runs are forked"),
]
STEPS = 60
HANGUP = signal.SIGTERM if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else signal.SIGHUP  # nohup has it ignored
WORDS = [
    "size=tiny",
    "data=tiny",
    "tokenizer=bytes",
    "budget=smoke",
    f"budget.train_steps={STEPS}",
    "budget.eval_seconds=600",
    "budget.subset_tokens=1000",
    "quant=int5_rtn",
    "compressor=zlib",
    "ngram=none",
    "mixer=none",
    "logger=[jsonl]",
    "train.compile=never",
    "hook.checkpoint.every_seconds=1e-9",
]


def lines(root):
    return [
        json.loads(line)
        for path in root.glob("runs/*/*/metrics.jsonl")
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]


def started(root, *words):
    with open(root / "errors", "ab") as log:
        return warm.start("train.py", *WORDS, *words, cwd=root, environment=os.environ, log=log)


def ended(child, root):
    with child.stdin, child.stdout:
        child.stdout.read()
    assert child.wait(600) == 0, (root / "errors").read_text()
    (folder,) = root.glob("runs/*/*/")
    return json.loads((folder / "result.json").read_text()), folder


def stop(child, root, steps, number):
    """The signal once so many steps have been told and there is something to go on from."""
    while len(lines(root)) < steps or not list(root.glob("runs/*/*/checkpoints/*.ckpt")):
        time.sleep(0.005)
    os.kill(child.pid, number)
    with child.stdin, child.stdout:
        child.stdout.read()
    child.wait(60)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return ended(started(root), root)


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGKILL] * 10, [signal.SIGTERM, signal.SIGKILL, HANGUP]],
    ids=["ten kills", "three stops"],
)
def test_a_run_stopped_at_random_steps_ends_in_the_same_artifact_and_weights(numbers, tmp_path, whole):
    draw, at, moments = random.Random(len(numbers)), 0, []
    for _ in numbers:
        at += draw.randint(1, STEPS // len(numbers))
        moments.append(min(at, STEPS))
    ends_as_the_whole(whole, tmp_path, zip(moments, numbers, strict=True))


TAUGHT = ("distillation=two_phase", "distillation.share=0.5")


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    root = tmp_path_factory.mktemp("taught")
    return ended(started(root, *TAUGHT), root)


def test_a_run_killed_while_its_teacher_trains_and_after_ends_in_the_same_artifact(tmp_path, taught):
    told = lines(taught[1].parents[2])
    assert sum("teacher_loss" in line for line in told) == sum("train_loss" in line for line in told) == STEPS // 2
    moments = (3, 11, STEPS // 2 - 1, STEPS // 2, STEPS // 2 + 2)
    ends_as_the_whole(taught, tmp_path, [(at, signal.SIGKILL) for at in moments], *TAUGHT)


def ends_as_the_whole(whole, tmp_path, stops, *words):
    for index, (at, number) in enumerate(stops):
        stop(started(tmp_path, *words, *["resume=true"] * (index > 0)), tmp_path, at, number)
    result, folder = ended(started(tmp_path, *words, "resume=true"), tmp_path)
    expected, there = whole
    assert result["artifact"]["sha256"] == expected["artifact"]["sha256"]
    assert result["scores"]["final"]["val_bpb"] == expected["scores"]["final"]["val_bpb"]
    assert result["certificate"]["passed"] and not (folder / "checkpoints").exists()
    kept, theirs = ([line for line in lines(place) if "train_loss" in line] for place in (tmp_path, there.parents[2]))
    assert [(line["step"], line["train_loss"]) for line in kept] == [(x["step"], x["train_loss"]) for x in theirs]
