"""One run, from taking its folder to writing its result: the record keeper of ``train.py``.

Whatever ends a run, an error, Ctrl-C, a loss that is no number, its folder keeps what exists: the last good
weights, a result.json with the reason, a row in experiments.csv.
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from pgolf.artifact.forecast import Forecast
from pgolf.build import wants_compile
from pgolf.config.compose import to_yaml
from pgolf.config.naming import config_hash, run_name
from pgolf.core.atomic import write_bytes_atomic
from pgolf.core.errors import CertificateError, OverBudget, RunError, TrainingError, UserError
from pgolf.core.make import make
from pgolf.core.process import Process, choose_device, choose_precision, hardware_name, process_facts
from pgolf.core.protocols import Logger
from pgolf.core.results import Artifact, Certificate, Score, TrainResult
from pgolf.track import textlog
from pgolf.track.console import Console
from pgolf.track.experiments import TABLE_NAME, append_row, check_table, row_from_result
from pgolf.track.folder import RunFolder
from pgolf.track.git import git_facts
from pgolf.track.ledger import StageLedger
from pgolf.track.result import ModelFacts, RunFacts, Status, build_result, write_result
from pgolf.train.trainer import Trainer


class Run:
    """State of a run as its stages fill it; use ``with Run.open(...) as run``."""

    def __init__(
        self, cfg: Mapping[str, Any], overrides: Sequence[str], folder: RunFolder, console: Console
    ) -> None:
        self.cfg, self.overrides, self.folder, self.console = cfg, list(overrides), folder, console
        self.process: Process = process_facts()
        self.device = choose_device(cfg["device"])
        self.ledger = StageLedger(budget=cfg["budget"])
        self.log = textlog.TextLog(folder.train_log)
        self.loggers: list[Logger] = []
        self.trainer: Trainer | None = None
        self.model: ModelFacts | None = None
        self.forecast: Forecast | None = None
        self.script = b""  # what the run counts as its code
        self.train: TrainResult | None = None
        self.artifact: Artifact | None = None
        self.scores: dict[str, Score] = {}
        self.certificate: Certificate | None = None
        self.trained_before = False  # the weights are a finished run's: see pgolf.run.requantize
        self.route: str | None = None  # the visits those weights were trained for
        self.status = 0

    @classmethod
    def open(cls, cfg: Mapping[str, Any], overrides: Sequence[str]) -> Run:
        """Take the run's folder. Raises RunError where it is finished already or cannot be used."""
        name, root = run_name(cfg, cfg["choices"]), Path(cfg["run_root"])
        folder = RunFolder.open(root, name, cfg["seed"], overwrite=cfg["overwrite"], rerun=cfg["rerun"])
        try:
            check_table(root / TABLE_NAME)
            run = cls(cfg, overrides, folder, Console(log=folder.console_log))
        except BaseException:
            folder.close()
            raise
        try:
            run._start(name)
        except BaseException:
            for close in (
                *(lambda one=one: one.finish({}) for one in run.loggers),
                run.log.close,
                run.console.close,
                folder.close,
            ):
                close()
            raise
        return run

    def _start(self, name: str) -> None:
        cfg, git = self.cfg, git_facts()
        threads = cfg["train"]["threads"]
        if threads:
            torch.set_num_threads(threads)
        precision = choose_precision(cfg["train"]["precision"], self.device)
        self.machine: dict[str, Any] = {
            "device": str(self.device),
            "autocast": str(precision).removeprefix("torch.") if precision else "none",
            "compile": wants_compile(cfg, self.device),
            "threads": torch.get_num_threads(),
            "hardware": hardware_name(self.device),
            "torch": str(torch.__version__),
        }
        machine = self.machine
        self.facts = RunFacts(
            name,
            cfg["seed"],
            self.folder.rerun,
            git.sha,
            git.dirty,
            config_hash(cfg),
            shlex.join(["python", *sys.argv]),
        )
        self.save_config()
        self.folder.write_overrides(self.overrides)
        for note in filter(None, (self.folder.note,)):
            self.console.line(note)
        self.console.line(f"run      {self.folder.path}")
        self.console.line(
            f"machine  {machine['hardware']}, {machine['threads']} threads, {machine['autocast']} autocast, "
            f"{'compiled' if machine['compile'] else 'eager'}, torch {machine['torch']}"
        )
        for node in cfg["logger"].values():
            self.loggers.append(make(node, folder=self.folder.path, say=self.console.line))
        for logger in self.loggers:
            logger.start(
                {"run": {"name": name, "seed": cfg["seed"]}, "config": dict(cfg), "machine": machine}
            )
        self.log.write(
            textlog.seed(cfg["seed"]), textlog.world_size(self.process.world, cfg["train"]["accumulation"])
        )

    def save_config(self) -> None:
        """Write the composed config with what the machine decided; again whenever that changes."""
        self.folder.write_config(to_yaml({**self.cfg, "machine": self.machine}))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds of one stage."""
        with self.ledger.stage(name):
            yield

    def metrics(self, step: int, **values: float) -> None:
        """Hand one step's numbers to every logger."""
        for logger in self.loggers:
            logger.log(step, values)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the result whatever happened; an error goes on to the caller."""
        status, reason = self._verdict(error)
        result = build_result(
            status=status,
            reason=reason,
            run=self.facts,
            budget=self.cfg["budget"],
            ledger=self.ledger.as_dict(),
            model=self.model,
            train=self.train,
            artifact=self.artifact,
            scores=self.scores,
            certificate=self.certificate,
        )
        with ExitStack() as ending:  # each step is taken even where another fails
            for close in (self.folder.close, self.log.close, self.console.close):
                ending.callback(close)
            ending.callback(self.console.summary, result, self.artifact, self.certificate, self.folder.path)
            for logger in self.loggers:
                ending.callback(logger.finish, result)
            if self.trainer is not None:
                ending.callback(getattr(self.trainer.loader, "close", lambda: None))
            self._attempt(lambda: write_result(self.folder.path, result))
            self._attempt(lambda: self._append_row(result))
            self._attempt(lambda: self._keep_weights(error))

    def _attempt(self, action: Callable[[], object]) -> None:
        """Do it, or say why not: the end of a run is no place to lose what can still be kept."""
        try:
            action()
        except (RunError, OSError) as problem:
            self.console.line(f"record: {problem}")

    def _append_row(self, result: Mapping[str, Any]) -> None:
        row = row_from_result(
            result,
            overrides=self.overrides,
            hardware=self.machine["hardware"],
            world_size=self.process.world,
            notes=self.cfg["notes"],
            parent_run=self.cfg["parent_run"],
            hypothesis=self.cfg["hypothesis"],
        )
        append_row(self.folder.path.parent.parent / TABLE_NAME, row)

    def _verdict(self, error: BaseException | None) -> tuple[Status, str]:
        """Status and reason for the record; sets the exit status of a run that reached its end."""
        if isinstance(error, KeyboardInterrupt):
            return "interrupted", "stopped by Ctrl-C"
        if isinstance(error, TrainingError):
            return "nan_loss", str(error)
        if error is not None:
            return "failed", str(error) if isinstance(
                error, UserError
            ) else f"{type(error).__name__}: {error}"
        if self.certificate is not None and not self.certificate.passed:
            self.status = CertificateError.exit_status
            return "certificate_failed", "; ".join(self.certificate.failed)
        if self.artifact is not None and self.artifact.over_by:
            self.status = OverBudget.exit_status
            return "over_cap", f"{self.artifact.over_by:,} bytes over the cap of {self.artifact.cap_bytes:,}"
        return "finished", ""

    def _keep_weights(self, error: BaseException | None) -> None:
        """Save the weights: the exported ones, or the last good ones of a run that broke off in training."""
        state: Mapping[str, torch.Tensor] = {}
        route = self.route
        if self.trainer is not None:
            route = self.trainer.model.active
        if self.train is not None:
            state = self.train.state
        elif self.trainer is not None and self.trainer.step:
            if isinstance(error, TrainingError):
                state, route = self.trainer.good_state, self.trainer.good_route
            else:
                state = self.trainer.snapshot()
        if state:
            content = io.BytesIO()
            torch.save({"weights": dict(state), "route": route}, content)
            write_bytes_atomic(self.folder.weights, content.getvalue())

    @property
    def objective(self) -> float:
        """What a sweep minimises: dev bits per byte of the finished artifact; never validation."""
        return self.scores["dev"].val_bpb
