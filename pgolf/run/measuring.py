"""``pgolf sweep FILE RUN …``: the grid of a sweep on runs that are finished, without training any of them again.

``study.by: compare`` scores a run's artifact by each job's evaluation, the network going over dev once for all of them
(``pgolf.eval.comparison``); ``requantize`` quantizes and packs a run's weights by each job's words and scores what
comes out by windows that do not overlap. Both look at dev, or at the first ``study.tokens`` of it, or as many spread
over it. What has been measured is kept beside the run, so that a repeated command goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgolf.artifact import container
from pgolf.build import build_model, prepare_dataset
from pgolf.config.eval_words import overrides_of
from pgolf.config.eval_words import read_words as evaluation_words
from pgolf.config.preflight import one_value
from pgolf.config.requantize_words import read_words as requantize_words
from pgolf.config.sweep_file import SweepFile
from pgolf.config.words import parse
from pgolf.core.command import complain
from pgolf.core.errors import ConfigError, RunError, UserError
from pgolf.core.jobs import FAILED, FINISHED, KEPT, JobEnd, heading, summary
from pgolf.core.process import Process, seed_everything
from pgolf.core.protocols import Progress
from pgolf.core.results import Score
from pgolf.data.dataset import Dataset
from pgolf.eval.comparison import compare
from pgolf.eval.evaluation import evaluation_of
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.network import FixedNetwork
from pgolf.eval.split import plain_windows, score_split
from pgolf.proof.published.two_pass import score_twice
from pgolf.run import stages
from pgolf.run.recorder import Recorder
from pgolf.run.requantize import Parent, read_parent
from pgolf.run.rules import check
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.fixed import FixedTokenizer
from pgolf.track.console import Console
from pgolf.track.measured import Measured, add_measured, place_of, read_measured
from pgolf.track.result import read_result

ARTIFACT = "artifact.pgolf"
PASSES = (
    "passes=1",
    "passes=2",
)  # words of a ``compare`` alone; two: no code length, ``pgolf.proof.published.two_pass``


def measure(sweep: SweepFile, runs: Sequence[Path]) -> int:
    """Measure what is not measured yet; returns the worst exit status. A job that fails is told, and the others go on.

    Raises RunError for a folder that holds no run, ConfigError for words beside the axes.
    """
    assert sweep.by != "train"
    console, ends = Console(), list[JobEnd]()
    watch = _Watch(console, ends, len(runs) * len(sweep.jobs))
    for run in runs:
        if not (run / ARTIFACT).is_file():
            raise RunError(f"{run}: no artifact in it; pgolf sweep takes folders of finished runs")
    if sweep.beside:  # what is wrong with them is wrong with all jobs
        _check_beside(sweep, runs[0])
    for run in runs:
        names = {job: f"{run.parent.name}/{run.name} {sweep.label(job)}" for job in sweep.jobs}
        weights = hashlib.sha256((run / ARTIFACT).read_bytes()).hexdigest()
        place = place_of(run, sweep.name)
        there = {one.identity for one in read_measured(place)}
        left = [job for job in sweep.jobs if (sweep.told(job), weights, sweep.tokens) not in there]
        for job in sweep.jobs:
            if job not in left:
                ends.append(JobEnd(len(ends), names[job], str(run), 0, KEPT, "", 0.0))
        if len(left) < len(sweep.jobs):
            console.line(f"kept {len(sweep.jobs) - len(left)} of {len(sweep.jobs)} measurements in {place}")
        if left:
            how = _compared if sweep.by == "compare" else _requantized
            for job, found, seconds in how(sweep, run, left, watch):
                if isinstance(found, UserError):
                    complain(found)
                    end = JobEnd(len(ends), names[job], str(run), found.exit_status, FAILED, str(found), seconds)
                else:
                    score, size = found
                    made = Measured(sweep.told(job), weights, sweep.tokens, _facts(score), size, seconds)
                    add_measured(place, [made])
                    text = f"{names[job]}: {_told(score)}" + (f", {size:,} bytes" if size else "")
                    console.line(text)
                    end = JobEnd(len(ends), names[job], str(run), 0, FINISHED, f"dev {score.val_bpb:.4f}", seconds)
                ends.append(end)
    for line in summary(ends):
        console.line(line)
    return max(end.status for end in ends)


def _check_beside(sweep: SweepFile, run: Path) -> None:
    """Raises ConfigError for words beside the axes that no job can be measured with."""
    axis = "an axis in the sweep file"
    several = [one_value(override, axis) for override in parse(sweep.beside) if override.is_sweep_override()]
    if several:
        raise ConfigError(several)
    if sweep.by == "compare":
        evaluation_words([f"artifact={run / ARTIFACT}", *sweep.beside])
        return
    with contextlib.suppress(RunError):  # of this run alone, whose jobs tell it
        requantize_words(run, sweep.beside)


@dataclass(frozen=True, slots=True)
class _Watch:
    """What is told of the ``total`` jobs, of which ``ends`` have ended."""

    console: Console
    ends: Sequence[JobEnd]
    total: int

    def begin(self, text: str, paced: bool) -> None:
        """A line before the next; ``paced``: those that have ended foretell how long the rest takes."""
        took = [end for end in self.ends if end.outcome == FINISHED] if paced else []
        self.console.line(heading(len(self.ends), self.total, took, 1, text))


Found = tuple[tuple[str, ...], "tuple[Score, int | None] | UserError", float]


def _facts(score: Score) -> dict[str, Any]:
    facts = score.as_dict()
    del facts["traces"]
    return facts


def _told(score: Score) -> str:
    if math.isclose(score.sum_p_mean, 1.0, abs_tol=1e-3) or math.isnan(score.sum_p_mean):
        return f"{score.val_bpb:.4f}"
    return f"claims {score.claimed_bpb:.4f}, mean Σp {score.sum_p_mean:.3f}, renormalised {score.renormalised_bpb:.4f}"


def _compared(sweep: SweepFile, run: Path, jobs: Sequence[tuple[str, ...]], watch: _Watch) -> Iterator[Found]:
    """The artifact of ``run`` by each evaluation; those of one network pass come together."""
    try:
        loaded = container.read(run / ARTIFACT)
    except UserError as error:
        yield from ((job, error, 0.0) for job in jobs)
        return
    beside: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
    dataset: Dataset | None = None
    for job in jobs:
        try:
            words = evaluation_words(
                [f"artifact={run / ARTIFACT}", *sweep.beside, *(word for word in job if word not in PASSES)]
            )
            nodes = overrides_of(words, loaded.header)
            evaluation = evaluation_from(loaded, overrides=nodes)
            if dataset is None:
                with watch.console.progress("prepare") as told:
                    dataset = prepare_dataset(words.settings, told, FixedTokenizer(from_blob(loaded.tokenizer_blob)))
        except UserError as error:
            yield job, error, 0.0
            continue
        key = repr([nodes.get(group) for group in ("eval", "ttt")])
        beside.setdefault(key, []).append((job, evaluation))
    for together in beside.values():
        assert dataset is not None
        stream_N = dataset.stream("dev", sweep.tokens)
        bytes_N = dataset.sidecar_target_bytes("dev", sweep.tokens)
        begun = time.monotonic()
        watch.begin(f"{len(together)} evaluations of {run} beside each other", paced=False)
        try:
            with watch.console.progress("dev", unit="tokens") as told:
                scores = compare(
                    [evaluation for _, evaluation in together],
                    stream_N,
                    split="dev",
                    subset=len(stream_N) < dataset.facts["dev"].tokens,
                    target_bytes_N=bytes_N,
                    progress=_named(told),
                )
        except UserError as error:
            for job, _ in together:
                yield job, error, 0.0
            continue
        took = (time.monotonic() - begun) / len(together)
        for (job, evaluation), one in zip(together, scores, strict=True):
            score = one.score
            if PASSES[1] in job:
                score, _ = score_twice(evaluation, stream_N, bytes_N, None, split=score.split, subset=score.subset)
            yield job, (score, None), took


def _named(told: Any) -> Progress:
    return lambda _, done, total: told("dev", done, total)


class _Quiet(Recorder):
    """What ``pgolf.run.stages`` asks of a recorder, for weights of a finished run."""

    trained_before = True

    def __init__(self, cfg: Any, console: Console) -> None:
        super().__init__(cfg, Process(rank=0, world=1))
        self.console = console

    def progress(self, label: str, unit: str = "") -> AbstractContextManager[Any]:
        return self.console.progress(label, unit=unit)


def _requantized(sweep: SweepFile, run: Path, jobs: Sequence[tuple[str, ...]], watch: _Watch) -> Iterator[Found]:
    """The weights of ``run`` by each quantizer, packed in memory and scored from what was packed."""
    try:
        parent, code_bytes = read_parent(run), _code_bytes(run)
    except UserError as error:
        yield from ((job, error, 0.0) for job in jobs)
        return
    dataset = model = None
    for job in jobs:
        begun = time.monotonic()
        watch.begin(f"{run} {sweep.label(job)}", paced=True)
        try:
            ((cfg, _),) = requantize_words(run, [*job, *sweep.beside])
            check(cfg, trains=False)
            recorder = _Quiet(cfg, watch.console)
            recorder.code_bytes = code_bytes
            if dataset is None:
                dataset = stages.prepare(recorder)
                model = _restored(recorder, dataset, parent)
            yield job, _packed(sweep, recorder, dataset, model, parent), time.monotonic() - begun
        except UserError as error:
            yield job, error, time.monotonic() - begun


def _code_bytes(run: Path) -> int:
    """What the script of ``run`` weighs. Raises RunError where its result has no artifact."""
    artifact = read_result(run)["artifact"]
    if artifact is None:
        raise RunError(f"{run}: its result has no artifact, so what its code weighs is not known")
    return int(artifact["bytes_code"])


def _restored(recorder: Recorder, dataset: Dataset, parent: Parent) -> Any:
    seed_everything(recorder.cfg["seed"])
    model = build_model(recorder.cfg, dataset, recorder.device)
    model.load_state_dict(dict(parent.trained.state))
    model.use(parent.route)
    return model


def _packed(sweep: SweepFile, recorder: _Quiet, dataset: Dataset, model: Any, parent: Parent) -> tuple[Score, int]:
    with tempfile.TemporaryDirectory(prefix="pgolf-sweep-") as folder:
        path = Path(folder) / ARTIFACT
        stages.pack(recorder, dataset, model, parent.trained, path)
        loaded = container.read(path)
    evaluation = evaluation_from(loaded, device=str(recorder.device))
    network = evaluation.network
    assert isinstance(network, FixedNetwork)
    plain = evaluation_of(network.model, dataset.tokenizer, plain_windows(recorder.cfg))
    with recorder.progress("dev", unit="tokens") as told:
        score = score_split(recorder.cfg, plain, dataset, "dev", sample=sweep.tokens, progress=_named(told))
    counted = stages.artifact_record(
        path,
        loaded,
        bytes_code=recorder.code_bytes,
        code_sha256="",
        cap_bytes=recorder.cfg["budget"]["cap_bytes"],
        counts_tokenizer=recorder.cfg["budget"]["count_tokenizer"],
    )
    return replace(score, valid=False), counted.bytes_total
