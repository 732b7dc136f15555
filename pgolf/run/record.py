"""One run, from taking its folder to writing its result: the recorder of ``train.py`` and ``pgolf requantize``.

Whatever ends a run, an error, Ctrl-C, a loss that is no number, its folder keeps what exists: the last good
weights, a result.json with the reason, a row in experiments.csv.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from pgolf.build import wants_compile
from pgolf.config.compose import to_yaml
from pgolf.config.naming import config_hash, run_name
from pgolf.config.readonly import thaw
from pgolf.core.atomic import write_bytes_atomic, write_text_atomic
from pgolf.core.errors import CertificateError, OverBudget, RunError, TrainingError, UserError
from pgolf.core.events import Event, Listener
from pgolf.core.make import make
from pgolf.core.process import choose_precision, hardware_name, shown_precision
from pgolf.core.protocols import Progress
from pgolf.core.results import Artifact, Certificate, Score, TrainResult
from pgolf.core.signals import undisturbed
from pgolf.run import resume as resuming
from pgolf.run import stages
from pgolf.run.listeners import Harmless, ParseableLog, Screen, Series
from pgolf.run.outlook import Outlook
from pgolf.run.recorder import Recorder
from pgolf.track import textlog
from pgolf.track.console import Console
from pgolf.track.experiments import TABLE_NAME, append_row, check_table, row_from_result
from pgolf.track.folder import RunFolder
from pgolf.track.git import git_facts
from pgolf.track.jsonable import to_json, to_plain
from pgolf.track.ledger import FREE_BUILD_SECONDS, StageLedger, long_build, within
from pgolf.track.result import COMPLETE, ModelFacts, RunFacts, Status, build_result, write_result
from pgolf.train.checkpoints import Checkpoints
from pgolf.train.replicas import ALONE, Replicas, micro_steps
from pgolf.train.state import Weights, save_weights
from pgolf.train.trainer import Trainer


class Run(Recorder):
    """State of a run as its stages tell it; use ``with Run.open(...) as run``."""

    def __init__(
        self,
        cfg: Mapping[str, Any],
        overrides: Sequence[str],
        folder: RunFolder,
        console: Console,
        replicas: Replicas = ALONE,
        found: resuming.Found | None = None,
    ) -> None:
        self._settled = cfg if found is None else found.settled(cfg)
        super().__init__(self._settled, replicas.process)
        self.cfg, self.found, self.replicas = cfg, found, replicas
        self.overrides, self.files, self.folder, self.console = list(overrides), folder, folder.path, console
        self.ledger = StageLedger(budget=cfg["budget"], before=found.checkpoint.facts["ledger"] if found else {})
        self.log = textlog.TextLog(folder.train_log)
        self.loggers: list[Harmless] = []
        self.screen = Screen(console)
        quant, compressor = cfg["choices"]["quant"], cfg["choices"]["compressor"]
        train_seconds = cfg["budget"]["train_seconds"]
        self.listeners: list[Listener] = [
            ParseableLog(self.log, quant, compressor, train_seconds, say=console.line, begun=found is not None),
            self.screen,
            Series(self.loggers),
            Outlook(cfg, self.tell),
        ]
        self.trainer: Trainer | None = None
        self.weights: Weights | None = None  # those to keep: trained here, or the parent's
        self.model: ModelFacts | None = None
        self.train: TrainResult | None = None
        self.artifact: Artifact | None = None
        self.k_factor: float | None = None
        self.scores: dict[str, Score] = {}
        self.certificate: Certificate | None = None
        self.cpu_share: dict[str, float] = {}  # by stage: see stages.BUSY_SHARE
        # An older checkpoint has none.
        self.anomalies: list[dict[str, Any]] = list(found.checkpoint.facts.get("anomalies", ()) if found else ())
        self.status = 0
        self._script = b""

    @classmethod
    def open(
        cls,
        cfg: Mapping[str, Any],
        overrides: Sequence[str],
        *,
        trains: bool = True,
        replicas: Replicas = ALONE,
    ) -> Run:
        """Take the run's folder. ``trains`` is False where the weights are another run's; ``replicas``: the
        processes that train it together, of which this is rank 0.

        Raises RunError where the folder's run is finished already or it cannot be used.
        """
        name, root = run_name(cfg, cfg["choices"]), Path(cfg["run_root"])
        found = resuming.find(cfg, root, name, replicas.world) if cfg["resume"] else None
        folder = (
            RunFolder.open(root, name, cfg["seed"], overwrite=cfg["overwrite"], rerun=cfg["rerun"])
            if found is None
            else found.folder
        )
        try:
            check_table(root / TABLE_NAME)
            run = cls(cfg, overrides, folder, Console(log=folder.console_log), replicas, found)
        except BaseException:
            folder.close()
            raise
        try:
            run._start(name, trains)
            replicas.shared(thaw(run.settled))
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

    def _start(self, name: str, trains: bool) -> None:
        cfg, git = self.cfg, git_facts()
        precision = choose_precision(self.settled["train"]["precision"], self.device) if trains else None
        self.machine: dict[str, Any] = {
            "device": str(self.device),
            "autocast": str(precision).removeprefix("torch.") if precision else "none",
            "compile": trains and wants_compile(self.settled, self.device),
            "threads": self.threads,
            "processes": self.process.world,
            "hardware": hardware_name(self.device),
            "torch": str(torch.__version__),
        }
        machine = self.machine
        self.facts = RunFacts(
            name,
            cfg["seed"],
            self.files.rerun,
            git.sha,
            git.dirty,
            config_hash(cfg),
            shlex.join(["python", *sys.argv]),
            cfg["sweep"],
        )
        self._save_config()
        self.files.write_overrides(self.overrides)
        if self.files.note:
            self.console.line(self.files.note)
        self.tell("run", str(self.folder))
        processes = f"{self.process.world} processes of " if self.process.world > 1 else ""
        computes = shown_precision(precision, self.device)
        self.tell(
            "machine",
            f"{machine['hardware']}, {processes}{torch.get_num_threads()} threads, {computes}, "
            f"{'compiled' if machine['compile'] else 'eager'}, torch {machine['torch']}",
        )
        if self.found is not None:
            self.tell("resume", "\n".join(self.found.notes))
        for node in cfg["logger"].values():
            logger = make(node, folder=self.folder, say=self.console.line)
            self.loggers.append(Harmless(logger, self.console.line))
        job = "requantize" if not trains else "sweep" if cfg["sweep"] else "train"
        about = {**asdict(self.facts), "job": job, "resumed": self.found is not None}
        for logger in self.loggers:
            logger.start({"run": about, "config": dict(cfg), "machine": machine})
        if self.found is None:
            world = self.process.world
            world_size = textlog.world_size(world, micro_steps(cfg["train"]["accumulation"], world))
            self.log.write(textlog.seed(cfg["seed"]), world_size)

    def _save_config(self) -> None:
        """Write the composed config with what the machine decided; again whenever that changes."""
        self.files.write_config(to_yaml({**self.cfg, "machine": self.machine}))

    @property
    def settled(self) -> Mapping[str, Any]:
        return self._settled

    def account(self) -> dict[str, Any]:
        """What ``pgolf.run.resume`` goes on from."""
        for logger in self.loggers:  # a file is cut to the length that it has here
            logger.flush()
        logs = (self.files.train_log, self.files.console_log, self.files.metrics)
        return {
            "name": self.facts.name,
            "config_hash": self.facts.config_hash,
            "git_sha": self.facts.git_sha,
            "code_sha256": hashlib.sha256(self.script).hexdigest(),
            "world": self.process.world,
            "machine": self.machine,
            "ledger": self.ledger.as_dict(),
            "anomalies": list(self.anomalies),
            "logs": {path.name: path.stat().st_size for path in logs if path.is_file()},
        }

    @property
    def script(self) -> bytes:
        """What the run counts as its code."""
        return self._script

    @script.setter
    def script(self, script: bytes) -> None:
        self._script, self.code_bytes = script, len(script)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds of one stage."""
        with self.ledger.stage(name):
            yield

    def progress(self, label: str, unit: str = "") -> AbstractContextManager[Progress]:
        return self.screen.progress(label, unit)

    def hear(self, event: Event) -> None:
        """Keep what belongs in the record, and pass the event on."""
        facts = event.facts
        if self.found is not None and event.name == "switch" and event.step < self.found.checkpoint.step:
            return  # at the start of a process that then goes on from later: it was told at its time
        if event.name == "built":
            self.trainer = facts["trainer"]
            self.model = ModelFacts(params=facts["parameters"], size=self.cfg["size"]["name"])
        elif event.name == "compile_failed":
            self.machine["compile"] = False
            self._save_config()
        elif event.name == "checkpoint":
            self.ledger.inside("checkpoint", facts["seconds"])
        elif event.name == "evaluate":
            self.ledger.parts("evaluate", facts["parts"])
        elif event.name in ("busy", "share"):
            self.cpu_share[facts["stage"]] = facts["share"]
        elif event.name == "anomaly":
            self.anomalies.append({"step": event.step, "text": event.text, **to_plain(facts)})
        elif event.name == "trained":
            self.train = facts["result"]
        elif event.name == "artifact":
            self.artifact = facts["artifact"]
            write_bytes_atomic(self.files.script, self.script)
        elif event.name == "k":
            self.k_factor = facts["factor"]
        elif event.name == "score":
            self.scores[facts["which"]] = facts["score"]
        elif event.name == "certified":
            self.certificate, score = facts["certificate"], facts["score"]
            fits = self.artifact is not None and not self.artifact.over_by and not self._overran()
            self.scores["final"] = replace(score, valid=score.valid and fits)
            text = to_json(self.certificate.as_dict(), indent=2) + "\n"
            write_text_atomic(self.files.certificate, text)
        for listener in self.listeners:
            listener.hear(event)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the result whatever happened; an error goes on to the caller, a signal in the meantime after that."""
        with undisturbed(), ExitStack() as ending:  # each step is taken even where another fails
            for close in (self.files.close, self.log.close, self.console.close):
                ending.callback(close)
            if self.trainer is not None:
                ending.callback(self.trainer.loader.close)
            result = self._result(error)
            ending.callback(self.console.summary, result, self.artifact, self.certificate, self.folder)
            for logger in self.loggers:
                ending.callback(logger.finish, result)
            if not self._attempt(lambda: write_result(self.files.path, result)):
                self.status = self.status or RunError.exit_status  # a run without its result is none to go on from
            elif result["status"] in COMPLETE:
                ending.callback(Checkpoints(self.files.path).remove)
            self._attempt(lambda: self._append_row(result))
            self._attempt(lambda: self._keep_weights(error))

    def _result(self, error: BaseException | None) -> dict[str, Any]:
        status, reason = self._verdict(error)
        return build_result(
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
            cpu_share=self.cpu_share,
            anomalies=self.anomalies,
        )

    def _attempt(self, action: Callable[[], object]) -> bool:
        """Do it, or say why not: the end of a run is no place to lose what can still be kept. Whether it was done."""
        try:
            action()
        except Exception as problem:  # whatever it is, the error that ended the run is the one to tell
            named = "" if isinstance(problem, RunError | OSError) else f"{type(problem).__name__}: "
            self.console.line(f"record: {named}{problem}")
            return False
        return True

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
        append_row(self.files.path.parent.parent / TABLE_NAME, row)

    def _verdict(self, error: BaseException | None) -> tuple[Status, str]:
        """Status and reason for the record; sets the exit status of a run that reached its end."""
        if isinstance(error, KeyboardInterrupt):
            return "interrupted", str(error) or "stopped by Ctrl-C"
        if isinstance(error, TrainingError):
            return "nan_loss", str(error)
        if error is not None:
            told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            return "failed", told
        if self.certificate is not None and not self.certificate.passed:
            self.status = CertificateError.exit_status
            return "certificate_failed", "; ".join(self.certificate.failed)
        if self.artifact is not None and self.artifact.over_by:
            self.status = OverBudget.exit_status
            return "over_cap", f"{self.artifact.over_by:,} bytes over the cap of {self.artifact.cap_bytes:,}"
        late = self._overran() or stages.over_time(self.cfg, self.scores.get("final"))
        if late:
            self.status = OverBudget.exit_status
            return "over_time", late
        stop_after = self.cfg["stop_after"]
        return "finished", f"validation was not opened, as stop_after={stop_after} asked" if stop_after else ""

    def _overran(self) -> str:
        """Why the training of a run by the clock took too long to count; empty where it did not, or is another's."""
        budget, train, ledger = self.cfg["budget"], self.train, self.ledger.as_dict()
        if train is None or self.trained_before or budget["train_steps"] is not None:
            return ""
        facts = {"seconds": train.seconds, "ms_per_step": train.ms_per_step}
        if within({"budget": budget, "train": facts, "ledger": ledger}, "train_seconds"):
            return ""
        calibration, build = ledger.get("calibrate", 0.0), long_build(ledger)
        beyond = f", the build {build:.1f} s beyond the {FREE_BUILD_SECONDS:g} that are free" if build else ""
        return (
            f"training took {train.seconds:.1f} s and its calibration {calibration:.1f} s{beyond}, more than the "
            f"{budget['train_seconds']:g} allowed and one step, so the score is not valid"
        )

    def _keep_weights(self, error: BaseException | None) -> None:
        """Save the weights: the exported ones; of a run that broke off in training those it had, or where they are no
        numbers any more, or out of reach, the last good ones."""
        weights = self.weights
        if self.trainer is not None and self.train is not None:
            weights = Weights(self.train.state, self.trainer.model.active, self.train.steps)
        elif self.trainer is not None and self.trainer.step:
            weights = self.trainer.good
            if not isinstance(error, TrainingError):
                with suppress(Exception):  # the device may be what broke
                    weights = self.trainer.weights()
        if weights is not None:
            save_weights(self.files.weights, weights)

    @property
    def objective(self) -> float:
        """What a sweep minimises: dev bits per byte of the finished artifact, or of the float weights where the run
        stopped after those; never validation."""
        return self.scores["dev" if "dev" in self.scores else "prequant"].val_bpb
