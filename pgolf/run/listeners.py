"""Who hears a run: the screen, the log that other tools parse, the loggers.

Each takes the events it knows and lets the rest pass; any event's text reaches the screen, any series the loggers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pgolf.core.errors import RunError
from pgolf.core.events import Event
from pgolf.core.protocols import Buffers, Logger
from pgolf.core.results import Score
from pgolf.track import textlog
from pgolf.track.console import Console
from pgolf.track.progress import ConsoleProgress
from pgolf.track.textlog import TextLog
from pgolf.train.trainer import Trainer

_LABEL_WIDTH = 8
FIRST_STEPS = 10
LINE_SECONDS = 5.0
_TRACED = ("mean", "deviation", "least", "largest")


class Screen:
    """Lines for people, and the bar of whatever is going on."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: dict[str, ConsoleProgress] = {}
        self._trainer: Trainer | None = None

    @contextmanager
    def progress(self, label: str, unit: str) -> Iterator[ConsoleProgress]:
        """The bar for ``label``, which events may then move."""
        with self.console.progress(label, unit=unit) as bar:
            self.bars[label] = bar
            yield bar

    def hear(self, event: Event) -> None:
        if event.name == "built":
            self._trainer = event.facts["trainer"]
        elif event.name == "warmup":
            self.bars["compile"]("compile", event.facts["done"], event.facts["total"])
        elif event.name == "step" and "train" in self.bars:
            self._move(event)
        elif event.name == "teacher_step" and "train" in self.bars:
            facts = event.facts
            self.bars["train"].update(
                facts["teacher_steps"], fraction=facts["teacher_progress"], loss=facts["teacher_loss"]
            )
        for index, line in enumerate(event.text.splitlines()):
            label = event.name if index == 0 else ""
            self.console.line(f"{label:<{_LABEL_WIDTH}} {line}")

    def _move(self, event: Event) -> None:
        trainer = self._trainer
        assert trainer is not None
        left = trainer.plan.seconds - event.facts["train_seconds"] if trainer.plan.steps is None else None
        self.bars["train"].update(
            event.step,
            total=trainer.plan.steps,
            fraction=trainer.progress,
            left_seconds=left,
            loss=event.facts["train_loss"],
            tokens_per_second=event.facts["tokens_per_second"],
        )


class Series:
    """Numbers over steps, to every logger; the final score at the last step heard of."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = loggers
        self._step = 0

    def hear(self, event: Event) -> None:
        self._step = max(self._step, event.step)
        if event.series:
            self._log(event.step, event.facts)
        elif event.name == "score" and event.facts["which"] == "final":
            score: Score = event.facts["score"]
            traces = {f"trace/{trace.name}/{what}": getattr(trace, what) for trace in score.traces for what in _TRACED}
            self._log(self._step, {"final_loss": score.val_loss, "final_bpb": score.val_bpb, **traces})

    def _log(self, step: int, numbers: Mapping[str, float]) -> None:
        for logger in self.loggers:
            logger.log(step, numbers)


class Harmless:
    """A logger that cannot fail the run, whatever it raises: that is said once, and it hears no more than the end."""

    def __init__(self, logger: Logger, say: Callable[[str], None]) -> None:
        self._logger, self._say, self._failed = logger, say, False

    def start(self, facts: Mapping[str, Any]) -> None:
        self._attempt(lambda: self._logger.start(facts))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if not self._failed:
            self._attempt(lambda: self._logger.log(step, metrics))

    def flush(self) -> None:
        if isinstance(self._logger, Buffers) and not self._failed:
            self._attempt(self._logger.flush)

    def finish(self, result: Mapping[str, Any]) -> None:
        self._attempt(lambda: self._logger.finish(result))

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            if not self._failed:
                name = type(self._logger).__name__
                self._say(f"logger: {name} failed ({type(error).__name__}: {error}); the run goes on without it")
            self._failed = True


class ParseableLog:
    """train.log: the lines that the tools around the challenge read; ``quant`` and ``compressor`` name its labels.

    ``begun``: the file has its beginning from an earlier process of the run. Where the disk refuses a line, ``say``
    hears of it once, and the run goes on without the rest.
    """

    def __init__(
        self,
        log: TextLog,
        quant: str,
        compressor: str,
        train_seconds: float,
        *,
        say: Callable[[str], None],
        begun: bool = False,
    ) -> None:
        self.log, self.quant, self.label = log, quant, f"{quant}+{compressor}"
        self.train_seconds, self._say = train_seconds, say
        self._said = ("data", "built", "warmup") if begun else ()  # what an earlier process of this run wrote
        self._planned: int | None = None
        self._last_line = 0.0
        self._lines: Mapping[str, Callable[[Event], Iterable[str]]] = {
            "data": self._data,
            "built": self._built,
            "warmup": self._warmup,
            "step": self._step,
            "dev": self._dev,
            "switch": self._switch,
            "trained": self._trained,
            "inputs": self._inputs,
            "artifact": self._artifact,
            "score": self._score,
        }

    def hear(self, event: Event) -> None:
        if event.name in self._lines:
            lines = list(self._lines[event.name](event))
            if event.name not in self._said:
                self._write(lines)

    def _write(self, lines: Sequence[str]) -> None:
        try:
            self.log.write(*lines)
        except RunError as error:
            self._say(f"{error}; the run goes on without it")
            self._lines = {}

    def _data(self, event: Event) -> Iterable[str]:
        dataset = event.facts["dataset"]
        yield textlog.val_loader(dataset.name, dataset.facts["val"].tokens)
        yield textlog.train_loader(dataset.name, len(dataset.shards["train"]))

    def _built(self, event: Event) -> Iterable[str]:
        self._planned = event.facts["trainer"].plan.steps
        yield textlog.model_params(event.facts["parameters"])

    def _warmup(self, event: Event) -> Iterable[str]:
        yield textlog.warmup_step(event.facts["done"], event.facts["total"])

    def _step(self, event: Event) -> Iterable[str]:
        """The first ten steps and one every five seconds."""
        seconds = event.facts["train_seconds"]
        if event.step <= FIRST_STEPS or seconds - self._last_line >= LINE_SECONDS:
            self._last_line = seconds
            yield textlog.train_step(event.step, self._planned or event.step, event.facts["train_loss"], seconds)

    def _dev(self, event: Event) -> Iterable[str]:
        facts = event.facts
        scores = (facts["dev_loss"], facts["dev_bpb"])
        yield textlog.val_step(event.step, self._planned or event.step, *scores, facts["train_seconds"])

    def _switch(self, event: Event) -> Iterable[str]:
        facts = dict(event.facts)
        yield textlog.switch(facts.pop("what"), facts.pop("state"), event.step, **facts)

    def _trained(self, event: Event) -> Iterable[str]:
        trained = event.facts["result"]
        if trained.stopped_by != "steps":
            reason = f"{trained.stopped_by}_cap"
            yield textlog.stopping_early(reason, trained.seconds, trained.steps, trained.steps)
        yield textlog.peak_memory(*event.facts["memory"])

    def _inputs(self, event: Event) -> Iterable[str]:
        seconds = event.facts["found"].seconds
        yield textlog.calibration(event.facts["source"], seconds)
        yield textlog.wallclock("calibration", event.facts["trained"].seconds + seconds, self.train_seconds)

    def _artifact(self, event: Event) -> Iterable[str]:
        artifact = event.facts["artifact"]
        yield textlog.serialized_model(self.label, artifact.bytes_weights)
        yield textlog.code_size(artifact.bytes_code)
        yield textlog.submission_size(self.label, artifact.bytes_total)
        yield textlog.artifact_hash(artifact.sha256)

    def _score(self, event: Event) -> Iterable[str]:
        score: Score = event.facts["score"]
        facts = (score.val_loss, score.val_bpb)
        which = event.facts["which"]
        if which == "prequant":
            yield textlog.post_ema(*facts, score.seconds)
        elif which == "roundtrip":
            yield from textlog.roundtrip(self.quant, *facts, score.seconds)
        elif which == "final" and score.method == "sliding":
            yield from textlog.sliding_window(self.quant, *facts, score.stride, score.seconds)
        elif which == "final":
            yield from textlog.final_score(self.quant, score.method, *facts, score.seconds)
