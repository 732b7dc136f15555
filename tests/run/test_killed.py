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
    [[signal.SIGKILL] * 10, [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP]],
    ids=["ten kills", "three stops"],
)
def test_a_run_stopped_at_random_steps_ends_in_the_same_artifact_and_weights(numbers, tmp_path, whole):
    draw, at = random.Random(len(numbers)), 0
    for index, number in enumerate(numbers):
        child = started(tmp_path, *["resume=true"] * (index > 0))
        at += draw.randint(1, STEPS // len(numbers))
        stop(child, tmp_path, min(at, STEPS), number)
    result, folder = ended(started(tmp_path, "resume=true"), tmp_path)
    expected, there = whole
    assert result["artifact"]["sha256"] == expected["artifact"]["sha256"]
    assert result["scores"]["final"]["val_bpb"] == expected["scores"]["final"]["val_bpb"]
    assert result["certificate"]["passed"] and not (folder / "checkpoints").exists()
    kept, theirs = ([line for line in lines(place) if "train_loss" in line] for place in (tmp_path, there.parents[2]))
    assert [(line["step"], line["train_loss"]) for line in kept] == [(x["step"], x["train_loss"]) for x in theirs]
