"""A run that is told to stop, by whom and when ever: its record is whole, and nothing of it is left behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pgolf.core.process import find_compiler
from pgolf.core.signals import HEEDED
from pgolf.track.experiments import read_rows
from tests.processes import Seen, descendants, sealed_processes, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes under /proc")

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    "size=tiny",
    "data=tiny",
    "tokenizer=bytes",
    "budget=smoke",
    "quant=int5_rtn",
    "compressor=zlib",
    "ngram=none",
    "mixer=none",
    "train.compile=never",
]
TRAINING = ["budget.train_steps=100000", "budget.train_seconds=200", "logger=[jsonl,wandb]"]
EVALUATING = ["budget.train_steps=3", "logger=[jsonl]", "hook=[]"]
# Windows that overlap in all but one token: scored for minutes.
SLOW = ["budget.eval_seconds=600", "eval=sliding", "eval.stride=1"]


def _heed() -> None:
    """Tests started under ``nohup`` or in the background inherit signals that are ignored; a user's shell has none."""
    for number in HEEDED:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _heed_on_a_terminal() -> None:
    _heed()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def environment(tmp: Path) -> dict[str, str]:
    (tmp / "temporary").mkdir()
    own = {
        "OMP_NUM_THREADS": "1",
        "HOME": str(tmp),
        "TMPDIR": str(tmp / "temporary"),
        "PYTHONPATH": str(ROOT),
    }
    return {**os.environ, **own, "WANDB_MODE": "offline"}


@contextlib.contextmanager
def started(*words: str, tmp: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / words[0]), *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp),
        cwd=tmp,
        preexec_fn=_heed,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def trains(tmp: Path) -> bool:
    return any("train_loss" in path.read_text() for path in tmp.glob("runs/*/*/metrics.jsonl"))


def sealed_process(process: subprocess.Popen[str], cpu_seconds: float) -> list[Seen]:
    """The sealed process, once it has worked so long; after 0.5 it unpacks or scores."""
    assert process.poll() is None, process.communicate()
    return [seen for seen in sealed_processes(process.pid) if seen.cpu_seconds > cpu_seconds]


def check_record(tmp: Path, reason: str, weights: bool = True) -> None:
    (folder,) = tmp.glob("runs/*/*/")
    record = json.loads((folder / "result.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", reason)
    (row,) = read_rows(tmp / "runs" / "experiments.csv")
    assert row["status"] == "interrupted"
    assert (folder / "weights.pt").is_file() is weights
    assert not (folder / ".lock").exists()


# Of others: what torch.compile keeps for the next run, and what a compiler leaves that torch has killed.
NOT_OURS = ("torchinductor", "cc")


def check_nothing_left(tmp: Path, were_running: list[Seen]) -> None:
    until(lambda: not any(process.alive() for process in were_running), 10)
    left = [path.name for path in (tmp / "temporary").iterdir()]
    assert not [name for name in left if not name.startswith(NOT_OURS)], left


def test_sigterm_in_training_keeps_what_exists_and_ends_the_loggers_processes(tmp_path):
    with started("train.py", *WORDS, *TRAINING, tmp=tmp_path) as process:
        until(lambda: trains(tmp_path), 120)
        below = until(lambda: descendants(process.pid), 10)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in err
    check_record(tmp_path, "stopped by SIGTERM")
    check_nothing_left(tmp_path, below)


@pytest.mark.skipif(find_compiler(torch.device("cpu")) is None, reason="compiles with the system's compiler")
@pytest.mark.slow  # in training: the next
def test_sigterm_while_compiling_leaves_no_compiler_running(tmp_path):
    words = [*WORDS, *TRAINING, "train.compile=always", "arch.layers=2"]
    with started("train.py", *words, tmp=tmp_path) as process:
        below = until(lambda: [p for p in descendants(process.pid) if "cc1plus" in p.command], 240)
        below += descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in err
    check_record(tmp_path, "stopped by SIGTERM", weights=False)
    check_nothing_left(tmp_path, below)


@pytest.mark.slow  # core/test_signals.py shows what SIGHUP is, the test above what training makes of a signal
def test_a_closed_terminal_in_training_is_sighup(tmp_path):
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *WORDS, *TRAINING],
        stdin=side,
        stdout=side,
        stderr=side,
        env=environment(tmp_path),
        cwd=tmp_path,
        preexec_fn=_heed_on_a_terminal,
    )
    os.close(side)
    try:
        until(lambda: trains(tmp_path), 120)
        below = until(lambda: descendants(process.pid), 10)
        os.close(terminal)
        assert process.wait(timeout=60) == 129
    finally:
        process.kill()
        process.wait()
    check_record(tmp_path, "stopped by SIGHUP")
    check_nothing_left(tmp_path, below)


@pytest.mark.slow  # to the run alone: below
def test_signals_to_the_whole_job_in_evaluation_are_one_stop(tmp_path):
    """As ``scancel`` sends them: to every process; and a second one while the first is being answered."""
    with started("train.py", *WORDS, *EVALUATING, tmp=tmp_path) as process:
        below = until(lambda: sealed_process(process, 0.5), 180)
        for number in (signal.SIGTERM, signal.SIGHUP):
            for pid in (*(seen.pid for seen in below), process.pid):
                with contextlib.suppress(ProcessLookupError):  # the first signal may have ended it already
                    os.kill(pid, number)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (129, 143) and "Traceback" not in err
    check_record(tmp_path, "stopped by SIGTERM" if process.returncode == 143 else "stopped by SIGHUP")
    check_nothing_left(tmp_path, below)


def test_eval_is_stopped_by_sigterm_too(tmp_path):
    from tests.proof.making import write_artifact

    artifact = write_artifact(tmp_path / "a.pgolf")
    words = [f"artifact={artifact}", "data=tiny", "size=tiny", "budget=smoke"]
    with started("eval.py", *words, *SLOW, tmp=tmp_path) as process:
        below = until(lambda: sealed_process(process, 0.5), 180)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in err
    check_nothing_left(tmp_path, below)
