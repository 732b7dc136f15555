"""``--help`` of every command: exit status 0, words of use, and nothing heavy imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HELP = {
    "train.py": (["train.py", "--help"], ["python train.py [group=option ...]", "arch/mlp:", "seed: 1337"]),
    "eval.py": (["eval.py", "--help"], ["python eval.py artifact=", "Exit status:"]),
    "pgolf": (["-m", "pgolf.cli.main", "--help"], ["usage: pgolf", "data", "cheats"]),
    "pgolf bundle": (["-m", "pgolf.cli.main", "bundle", "--help"], ["usage: pgolf bundle", "RUN", "OUT"]),
    "pgolf requantize": (
        ["-m", "pgolf.cli.main", "requantize", "--help"],
        ["usage: pgolf requantize", "stop_after=dev", "WORD"],
    ),
    "pgolf data": (["-m", "pgolf.cli.main", "data", "--help"], ["usage: pgolf data", "prepare", "inspect"]),
}


@pytest.mark.parametrize(("words", "expected"), HELP.values(), ids=HELP)
def test_help_exits_with_0_says_how_to_use_it_and_imports_no_torch(words, expected):
    done = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    for word in expected:
        assert word in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "pgolf" in imported
    assert not imported & {"torch", "numpy", "wandb", "sentencepiece"}
