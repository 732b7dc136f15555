"""One job of a sweep: a finished run is kept, an unfinished one gone on with, and a failure is one job's failure.

Jobs may run in processes of their own, beside each other; what they tell each other goes through files, which the
launching process names in its environment.
"""

from __future__ import annotations

import json
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, Protocol

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.errors import HydraException
from omegaconf import DictConfig

from pgolf.config.compose import settings
from pgolf.config.naming import run_label
from pgolf.config.readonly import read_only, thaw
from pgolf.config.words import parse
from pgolf.core.command import complain
from pgolf.core.errors import CannotResume, ConfigError, RunError, UserError
from pgolf.core.jobs import FAILED, FINISHED, KEPT, JobEnd, append_end, heading, journal, read_ends
from pgolf.core.signals import exit_status
from pgolf.core.threads import cores

WORDS = "PGOLF_SWEEP_WORDS"  # those of the command line, as JSON
STATUS_FILE = "PGOLF_STATUS_FILE"
CRASHED = 1
Job = Callable[[dict[str, Any], list[str]], "tuple[float, int]"]


class KeptRun(Protocol):
    """A complete run; see ``pgolf.track.earlier``."""

    @property
    def objective(self) -> float: ...
    @property
    def status(self) -> int: ...
    @property
    def line(self) -> str: ...


class EarlierRuns(Protocol):
    """What an earlier attempt at a job has left."""

    @property
    def kept(self) -> KeptRun | None: ...
    @property
    def resumable(self) -> bool: ...


def jobs_of(params: Mapping[str, Any], words: Sequence[str]) -> list[list[str]]:
    """The words of every job of a grid, in order: of a sweep file's axes ``params``, and a command line, which wins.

    Raises ConfigError for an axis that has no list of values.
    """
    try:
        return [list(job) for job in BasicSweeper.split_arguments(parse([*axes_of(params), *words]), None)[0]]
    except HydraException as error:
        axes = (axis for axis in parse([*axes_of(params), *words]) if axis.is_interval_sweep())
        told = [f"{axis.key_or_group}: only a search draws from an interval; a grid takes a list" for axis in axes]
        raise ConfigError(told or " ".join(str(error).split())) from error


def axes_of(params: Mapping[str, Any]) -> list[str]:
    """The axes of a sweep file as words."""
    return [f"{key}={value}" for key, value in params.items()]


def told_apart(jobs: Sequence[Sequence[str]], words: Sequence[str]) -> list[str]:
    """The ``words`` of one of several jobs that not all of them have."""
    return [word for word in words if any(word not in other for other in jobs)]


def at_once(launcher: Mapping[str, Any]) -> int:
    """How many jobs of a sweep run beside each other on this machine."""
    if "n_jobs" in launcher:  # joblib
        return int(launcher["n_jobs"]) if launcher["n_jobs"] > 0 else cores()
    return 2 if "submitit_folder" in launcher else 1  # each in a process of its own, however many


def share_cores(at_a_time: int) -> None:
    """Let this job's kernels have their part of the cores, unless its launcher has said how many; before torch comes.

    The number of threads stays out of the config, and so out of the run's name.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // at_a_time)))


def _alone(at_a_time: int) -> AbstractContextManager[Any]:
    """Around a job beside others: what it says goes into its console.log, and not between what they say."""
    return redirect_stdout(open(os.devnull, "w")) if at_a_time > 1 else nullcontext()


def sweep_job(job: Job, cfg: DictConfig, hydra: Any, words: list[str], earlier: Callable[[Any], EarlierRuns]) -> float:
    """Run one job, or keep what it has come to before; whatever happens is told, and only a signal goes on."""
    number, at_a_time = int(hydra.job.num), at_once(hydra.launcher)
    jobs = jobs_of(hydra.sweeper.get("params") or {}, json.loads(os.environ.get(WORDS, "[]")))
    label = " ".join(told_apart(jobs, words))
    if at_a_time > 1:
        share_cores(at_a_time)
    else:
        print(heading(number, len(jobs), read_ends(_place()), 1, label), flush=True)
    begun, run, composed = time.monotonic(), "", None
    outcome, said, objective, status = FAILED, "", math.inf, CRASHED
    try:
        if cfg.study.get("by", "train") not in ("train", "search"):
            raise ConfigError(f"study.by: {cfg.study.by}: train.py does not run this sweep, pgolf sweep FILE RUNS does")
        composed = read_only(settings(cfg, hydra))
        run = run_label(composed)
        before = earlier(composed)
        if before.kept is not None:
            print(before.kept.line, flush=True)
            outcome, said, objective, status = KEPT, before.kept.line, before.kept.objective, before.kept.status
        else:
            with _alone(at_a_time):
                objective, status = _run(job, composed, words, before.resumable)
            outcome = FINISHED
            said = f"dev {objective:.4f}" if math.isfinite(objective) else ""
            said += f"{', ' * bool(said)}exit status {status}" if status else ""
    except UserError as error:
        complain(error)
        said, status = str(error).splitlines()[0], error.exit_status
    except KeyboardInterrupt as stop:
        status = exit_status(stop)
        said = str(stop) or "interrupted"
        raise
    except Exception as error:
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
    finally:
        end = JobEnd(number, label, run, status, outcome, said, time.monotonic() - begun)
        _tell(end, composed)
        if at_a_time > 1:
            text = heading(number, len(jobs), read_ends(_place()), at_a_time, label)
            print(f"{text}: {end.outcome}{': ' * bool(said)}{said}", flush=True)
    return objective if status == 0 else math.inf


def _run(job: Job, cfg: Mapping[str, Any], words: list[str], resumable: bool) -> tuple[float, int]:
    if resumable:
        try:
            return job(read_only({**thaw(cfg), "resume": True}), words)
        except CannotResume as error:
            complain(error)
            print("begun anew", flush=True)
    return job(read_only({**thaw(cfg), "resume": False}), words)


def _tell(end: JobEnd, cfg: Mapping[str, Any] | None) -> None:
    if STATUS_FILE in os.environ:
        try:
            append_end(_place(), end)
        except RunError as error:  # the run is what counts
            complain(error)
    if cfg is not None and cfg["sweep"] and not cfg["dry_run"] and not cfg["print_model"]:
        try:
            journal(Path(cfg["run_root"]), cfg["sweep"], end)
        except (RunError, OSError) as error:  # a record of records: no reason to lose a run
            complain(error)


def _place() -> Path:
    return Path(os.environ.get(STATUS_FILE, os.devnull))
