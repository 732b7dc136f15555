"""The final score: computed in a fresh, sealed process that has the artifact and gets the stream in chunks.

``score_sealed`` starts ``python -I -B`` in an empty temporary folder with a minimal environment and feeds it.
The sum of what it answers *is* the run's score; probe (f) then compares other processes with it. The seal is
described, with its limits, in ``pgolf.eval.seal``. ``check_sealed`` refuses, before training, what would keep
that process from importing what it needs.

Shapes: N tokens of the stream, N-1 targets.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from pgolf.core import errors
from pgolf.core.errors import ConfigError, UserError
from pgolf.core.protocols import Progress
from pgolf.core.results import Score
from pgolf.eval.evaluation import Evaluation, make_score
from pgolf.eval.evaluator import chunks_of
from pgolf.eval.frames import receive, send
from pgolf.eval.seal import SYSTEM_FILES, origin_of, package_path
from pgolf.eval.slots import DoubleScore, WriteOnce

# Passed on because libraries or the GPU's driver need them, or because they choose the kernels that compute, which
# must be those that this process replays with; nothing else of the environment is.
ENVIRONMENT = (
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "SYSTEMROOT",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
)
# What evaluation imports of other people's packages, where it is installed.
IMPORTED = ("numpy", "torch", "brotli", "zstandard", "numba", "sentencepiece")
SERVE = "from pgolf.eval.sealed_child import main; main()"
_REPORT = "import json; from pgolf.eval.seal import reachable; print(json.dumps(reachable({names!r})))"
_START_SECONDS = 60
_STDERR_TAIL_BYTES = 4000

# The sealed process is ended after so many times budget.eval_seconds: late scores are reported, hangs end.
PATIENCE = 4


class SealedError(UserError):
    """The sealed process crashed, or took longer than it may."""

    exit_status = 1


@dataclass(frozen=True, slots=True)
class Violation:
    """Something the sealed process did that it may not. ``kind``: ``access`` or ``double_score``."""

    kind: str
    event: str
    what: str


@dataclass(frozen=True, slots=True)
class SealedScore:
    """What the sealed process answered.

    ``nll_nats_N`` float64 [N-1], NaN where no score came; ``reveals`` lists for each chunk how many tokens had
    been sent when how many positions had been answered; ``seconds`` is wall time from start to end.
    """

    nll_nats_N: np.ndarray
    seconds: float
    violations: tuple[Violation, ...]
    reveals: tuple[tuple[int, int], ...]
    peak_bytes: int
    facts: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        return not np.isnan(self.nll_nats_N).any()


def score_sealed(
    artifact_path: Path,
    tokens_N: np.ndarray,
    *,
    device: str = "cpu",
    threads: int | None = None,
    limit_seconds: float | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    program: str = SERVE,
    progress: Progress | None = None,
) -> SealedScore:
    """Score the stream ``tokens_N`` (uint16 [N], as ``Evaluation.stream`` gives it) from the artifact alone.

    ``threads`` None: as many as this process uses. ``program`` is what the process runs: Python that
    ends in ``pgolf.eval.sealed_child.main``.
    Raises the sealed process's own UserError (a damaged artifact, settings that do not fit), SealedError where
    it crashed or ran longer than ``limit_seconds``. A refused access is no exception: see ``violations``.
    """
    from pgolf.artifact.container import codecs

    if threads is None:
        import torch

        threads = torch.get_num_threads()
    slots, ended = WriteOnce(len(tokens_N) - 1), {}
    reveals: list[tuple[int, int]] = []
    violations: list[Violation] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="pgolf-sealed-") as empty, tempfile.TemporaryFile() as log:
        order = {
            "parent": os.getpid(),
            "artifact": os.path.realpath(artifact_path),
            "codecs": codecs(artifact_path),
            "working_directory": empty,
            "device": device,
            "threads": threads,
            "stream_tokens": len(tokens_N),
            "overrides": dict(overrides or {}),
        }
        with _child(program, empty, log, threads, limit_seconds) as (child, overtime):
            assert child.stdin is not None and child.stdout is not None
            try:
                send(child.stdin, order)
                ended = _converse(child.stdin, child.stdout, tokens_N, slots, reveals, progress)
            except DoubleScore as error:
                violations.append(Violation("double_score", "write", str(error)))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                child.wait()
                raise _crash(child.returncode, log, overtime.is_set(), limit_seconds) from None
    violations += [Violation("access", event, what) for event, what in ended.get("violations", ())]
    facts = dict(ended.get("facts", {}))
    facts |= {"threads": threads, "device": device, "overrides": sorted(overrides or {})}
    facts |= {"environment": sorted(_environment(threads)), "system_files": list(SYSTEM_FILES)}
    return SealedScore(
        nll_nats_N=slots.nll_nats_N,
        seconds=time.perf_counter() - started,
        violations=tuple(dict.fromkeys(violations)),
        reveals=tuple(reveals),
        peak_bytes=int(facts.pop("peak_bytes", 0)),
        facts=facts,
    )


def check_sealed() -> None:
    """Ask a process started like the sealed one where it would import from; a tenth of a second, before training.

    Raises ConfigError where that process cannot start, or would not find a package that this one finds, or would
    find another copy of it.
    """
    here = {name: origin for name in IMPORTED if (origin := origin_of(name))}
    with tempfile.TemporaryDirectory(prefix="pgolf-sealed-") as empty:
        try:
            asked = subprocess.run(
                _command(_REPORT.format(names=tuple(here))),
                cwd=empty,
                env=_environment(1),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_START_SECONDS,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"evaluation: {sys.executable or 'python'} -I does not start: {error}") from error
    if asked.returncode:
        tail = asked.stderr.decode(errors="replace").strip()[-_STDERR_TAIL_BYTES:]
        raise ConfigError(f"evaluation: {sys.executable} -I ended with status {asked.returncode}:\n{tail}")
    there = json.loads(asked.stdout)
    missing = {name: origin for name, origin in here.items() if there.get(name) != origin}
    if missing:
        files = [Path(origin) for origin in missing.values()]
        places = sorted({str(f.parents[1] if f.name == "__init__.py" else f.parent) for f in files})
        raise ConfigError(
            f"evaluation: the sealed process, which makes the final score, would not find {', '.join(missing)} of "
            f"{', '.join(places)}. It gets the folders of this process's import path that hold packages as pip "
            "installs them; have them there, best in a virtual environment"
        )


def final_score(
    evaluation: Evaluation,
    tokens_N: np.ndarray,
    sealed: SealedScore,
    subset: bool,
    target_bytes_N: np.ndarray | None = None,
) -> Score:
    """The record of what the sealed process answered; not valid before the certificate says so.

    Where the process broke off, there is no code length: the score is not a number, and probe (f) says why.
    ``target_bytes_N``: see ``pgolf.eval.evaluation.byte_counts``.
    """
    nll_nats_N = sealed.nll_nats_N if sealed.complete else np.zeros_like(sealed.nll_nats_N)
    record = make_score(
        evaluation,
        tokens_N,
        nll_nats_N,
        split="val",
        subset=subset,
        seconds=sealed.seconds,
        valid=False,
        target_bytes_N=target_bytes_N,
    )
    return record if sealed.complete else replace(record, val_loss=math.nan, val_bpb=math.nan)


def _converse(
    questions: IO[bytes],
    answers: IO[bytes],
    tokens_N: np.ndarray,
    slots: WriteOnce,
    reveals: list[tuple[int, int]],
    progress: Progress | None,
) -> dict[str, Any]:
    """Feed the stream; returns the child's last message."""
    ready, _ = receive(answers)
    if "ended" in ready:
        return _ended(ready)
    sent = 0
    for tokens_n in chunks_of(tokens_N, ready["chunk_tokens"]):
        sent += len(tokens_n)
        send(questions, {"tokens": len(tokens_n)}, np.asarray(tokens_n).astype("<u2").tobytes())
        answer, payload = receive(answers)
        if "ended" in answer:
            return _ended(answer)
        nll_nats = np.frombuffer(payload, dtype="<f8")
        scored = ~np.isnan(nll_nats)
        for start, stop in _runs(scored):
            slots.write(answer["start"] + start, nll_nats[start:stop])
        reveals.append((sent, answer["start"] + len(nll_nats)))
        if progress is not None:
            progress("validation", reveals[-1][1], len(tokens_N) - 1)
    send(questions, {"end": True})
    return _ended(receive(answers)[0])


def _ended(message: dict[str, Any]) -> dict[str, Any]:
    """The child's last message; its user errors are raised here under their own class."""
    if message["ended"] == "error":
        raise getattr(errors, message["class"], UserError)(message["message"])
    return message


def _runs(scored: np.ndarray) -> Iterator[tuple[int, int]]:
    """The (start, stop) stretches of a boolean array that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], scored, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


@contextlib.contextmanager
def _child(
    program: str, folder: str, log: Any, threads: int, limit_seconds: float | None
) -> Iterator[tuple[subprocess.Popen[bytes], threading.Event]]:
    """The sealed process, killed at the latest when the block ends or its time is over."""
    child = subprocess.Popen(
        _command(program),
        cwd=folder,
        env=_environment(threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,  # Ctrl-C and a closed terminal reach this process, which ends the child
    )
    overtime = threading.Event()

    def end() -> None:
        overtime.set()
        child.kill()

    timer = threading.Timer(limit_seconds, end) if limit_seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield child, overtime
    finally:
        if timer is not None:
            timer.cancel()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()  # type: ignore[union-attr]
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5 if sys.exc_info()[0] is None else 0)
        finally:  # a signal may end the waiting
            child.kill()
            child.wait()
        child.stdout.close()  # type: ignore[union-attr]


def _command(program: str) -> list[str]:
    """The call that runs ``program`` with pgolf and the installed packages on its import path, and nothing else."""
    root = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path[:] = sys.argv[1:]; {program}"
    return [sys.executable, "-I", "-B", "-c", program, root, *package_path()]


def _environment(threads: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return kept | {"LANG": "C.UTF-8", "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def _crash(status: int, log: Any, overtime: bool, limit_seconds: float | None) -> SealedError:
    if overtime:
        return SealedError(
            f"evaluation: the sealed process was ended after {limit_seconds:g} s; either it hangs or it is slow, and "
            "then a larger budget.eval_seconds gives it longer"
        )
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _STDERR_TAIL_BYTES))
    tail = log.read().decode(errors="replace").strip() or "it left no message"
    return SealedError(f"evaluation: the sealed process ended with status {status}:\n{tail}")
