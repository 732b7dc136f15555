"""The stages of a run, one function each, in the order its road takes them (style, "Data flow").

``train.py``, ``eval.py``, ``pgolf requantize`` and the bundled script call these same functions; each brings a
recorder that keeps what it wants of what they tell. A stage takes what the stages before it returned, and counts its
own seconds.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pgolf.artifact import container
from pgolf.artifact.ledger import artifact_record
from pgolf.artifact.pack import Packed, check_counts
from pgolf.artifact.pack import pack as pack_weights
from pgolf.build import (
    build_loader,
    build_model,
    build_trainer,
    compile_loss,
    prepare_dataset,
    wants_compile,
)
from pgolf.core.budget import seconds_left
from pgolf.core.errors import OverBudget
from pgolf.core.make import make
from pgolf.core.process import Process, peak_memory, seed_everything
from pgolf.core.protocols import Model
from pgolf.core.results import Artifact, Certificate, Score, TrainResult
from pgolf.data.base import raw_documents
from pgolf.data.closed import closed
from pgolf.data.dataset import Dataset, check_long_enough, load
from pgolf.eval.evaluation import Evaluation, Terms, evaluation_of, stream_of
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.network import FixedNetwork
from pgolf.eval.rehearsal import Replays, rehearse_replays
from pgolf.eval.rehearsal import rehearse as rehearsal_of
from pgolf.eval.sampler import sample_text
from pgolf.eval.sealed import PATIENCE, SealedScore, final_score, score_sealed
from pgolf.eval.source import Source
from pgolf.eval.split import float_evaluation, plain_windows, score_split
from pgolf.eval.traces import parts_told
from pgolf.proof.certificate import certify
from pgolf.proof.context import Context
from pgolf.proof.profiles import PROFILES
from pgolf.proof.prove import prove
from pgolf.quant.calibration.base import Calibration, CalibrationSource
from pgolf.quant.calibration.measure import calibrate, stage_of
from pgolf.run.recorder import Recorder
from pgolf.tokenizer.recipe import Recipe
from pgolf.train.trainer import Trainer


def prepare(
    recorder: Recorder, directory: Path | None = None, recipe: Recipe | None = None, *, trains: bool = True
) -> Dataset:
    """Text to shards, from the cache where they exist already; or the prepared shards in ``directory``.

    ``recipe`` takes the place of the config's tokenizer. Where nothing ``trains``, training and dev text may be too
    short for that. Raises DataError.
    """
    cfg = recorder.cfg
    with (
        recorder.stage("prepare"),
        recorder.progress("prepare") as progress,
        recorder.replicas.first_goes_ahead(),
    ):
        dataset = prepare_dataset(cfg, progress, recipe) if directory is None else load(directory)
        if trains:
            check_long_enough(dataset, max(cfg["train"]["window"], cfg["size"]["eval_window"]))
    facts = dataset.facts
    text = (
        f"{dataset.name}, {dataset.tokenizer.name}: {facts['train'].tokens:,} training tokens in "
        f"{facts['train'].documents:,} documents, dev {facts['dev'].tokens:,}, validation {facts['val'].tokens:,}"
    )
    recorder.tell("data", text, dataset=dataset)
    return dataset


def validation_closed(recorder: Recorder, dataset: Dataset) -> AbstractContextManager[None]:
    """Around everything that makes weights: what opens validation inside ends the run."""
    pieces = [piece.path for piece in (*dataset.shards["val"], *dataset.sidecars.get("val", ()))]
    homes = {dataset.directory.parent, *(path.parent.parent for path in pieces)}
    others = [path for home in homes for path in home.glob("*/*_val_*")]  # the same text by another tokenizer
    return closed([*pieces, *others, *make(recorder.cfg["data"]).raw_places()])


def build(recorder: Recorder, dataset: Dataset) -> Trainer:
    """The model and everything around it that trains it, from the run's seed."""

    def score_sample(state: Mapping[str, Tensor], tokens: int) -> Score:
        with recorder.stage("validate"):
            return score_weights(recorder, trainer.model, state, dataset, sample=tokens)

    seed_everything(recorder.cfg["seed"])
    with recorder.stage("build"):
        model = build_model(recorder.cfg, dataset, recorder.device)
        trainer = build_trainer(
            recorder.settled,
            model,
            dataset,
            recorder.process,
            score_dev=score_sample,
            listeners=[recorder],
            folder=recorder.folder,
            replicas=recorder.replicas,
            account=recorder.account,
        )
    recorder.tell("built", trainer=trainer, parameters=sum(p.numel() for p in model.parameters()))
    return trainer


def composed(recorder: Recorder, dataset: Dataset, model: Model) -> Evaluation:
    """The evaluation that the config asks for, of a copy of ``model`` as it will be at the end of its training.

    Raises ConfigError for counts of the training text that have too little room.
    """
    cfg, twin = recorder.cfg, copy.deepcopy(model)
    check_counts(cfg, dataset)
    for switch in model.activations():
        twin.use(switch.route)
    twin.eval().requires_grad_(False)
    plain = evaluation_of(twin, dataset.tokenizer, make(cfg["eval"]))
    return replace(plain, mixer=make(cfg["mixer"]), ttt=make(cfg["ttt"]), ngram=make(cfg["ngram"]))


def rehearse(recorder: Recorder, dataset: Dataset, evaluation: Evaluation) -> None:
    """Try the first rounds of what will score validation, on dev, and tell how long all of it will take.

    Raises ConfigError for parts of it that do not go together or have no room, OverBudget for an evaluation that would
    not be let end.
    """
    limit, allowed = recorder.cfg["budget"]["subset_tokens"], recorder.cfg["budget"]["eval_seconds"]
    with recorder.stage("rehearse"):
        text_N, tokens = dataset.stream("dev", limit), dataset.facts["val"].tokens
        evaluation.evaluator(len(text_N))  # dev is scored as validation is
        tokens = tokens if limit is None else min(tokens, limit)
        found = rehearsal_of(evaluation, text_N, tokens)
        replays = rehearse_replays(evaluation, text_N, tokens)
    if found is None:
        return
    seconds = found.total_seconds
    by = f"by {found.tried:,} targets in {found.seconds:.1f} s"
    text = f"evaluation at least about {seconds:.0f} s of {allowed:g} allowed, {by}"
    if replays is not None:
        text = f"{text}; {_fitting(replays, allowed)}"
    if seconds > PATIENCE * allowed:
        raise OverBudget(
            f"{text}; it is ended after {PATIENCE} times what is allowed. Give it more budget.eval_seconds"
        )
    recorder.tell("forecast", f"{text}; its score would not be valid" if seconds > allowed else text, seconds=seconds)


def _fitting(replays: Replays, allowed: float) -> str:
    most = replays.within(allowed)
    costs = f"{replays.bare_seconds:.0f} s without and {replays.each_seconds:.0f} s for each"
    return f"of chunks that come again {'not even 0' if most is None else f'ttt.replay={most} at most'} fits, {costs}"


def fit(recorder: Recorder, trainer: Trainer, resume: Mapping[str, Any] | None = None) -> TrainResult:
    """Train inside the budget, from a trainer's state if one is given; the clock starts after the compile warm-up."""
    recorder.tell("phases", "\n".join(str(phase) for phase in trainer.phases()))
    train = recorder.cfg["train"]
    if wants_compile(recorder.settled, recorder.device):
        with recorder.stage("compile"), recorder.progress("compile", unit="steps"):
            failed = compile_loss(trainer, train["compile"], train["compile_seconds"])
        if failed:
            recorder.tell("compile_failed", f"training goes on eagerly: {failed}")
    with recorder.stage("train"), recorder.progress("train", unit="steps"):
        trained = trainer.fit(resume)
    trainer.loader.close()
    if recorder.replicas.world > 1:
        torch.set_num_threads(recorder.threads)  # those of the others are free
    _tell_share(recorder, "train", trainer.core_share.share)
    recorder.tell("trained", step=trained.steps, result=trained, memory=peak_memory(recorder.device))
    return trained


# A thread that has work all the time gets less of a core than this only where others want it too.
BUSY_SHARE = 0.75


def _tell_share(recorder: Recorder, stage: str, share: float | None) -> None:
    """See ``pgolf.core.threads.CoreShare``."""
    if recorder.device.type == "cpu" and share is not None:
        busy = share < BUSY_SHARE
        text = f"{stage} had {100 * share:.0f} % of its core's time; other processes were at work"
        recorder.tell("busy" if busy else "share", text if busy else "", stage=stage, share=share)


def score_weights(
    recorder: Recorder,
    model: Model,
    state: Mapping[str, Tensor],
    dataset: Dataset,
    sample: int | None = None,
) -> Score:
    """Dev score of float weights in a copy of the model, non-overlapping; of a sample where one is asked for."""
    return _score_dev(recorder, float_evaluation(recorder.cfg, model, state, dataset), dataset, "dev", sample)


def _score_dev(
    recorder: Recorder, evaluation: Evaluation, dataset: Dataset, label: str, sample: int | None = None
) -> Score:
    """Score dev in this process; all of it, the budget's slice, or ``sample`` tokens spread over that."""
    with recorder.progress(label, unit="tokens") as progress:
        return score_split(
            recorder.cfg,
            evaluation,
            dataset,
            "dev",
            sample=sample,
            progress=lambda _, done, total: progress(label, done, total),
        )


def score_trained(recorder: Recorder, dataset: Dataset, model: Model, trained: TrainResult) -> None:
    """Score the float weights on dev."""
    with recorder.stage("prequant score"):
        recorder.tell("score", which="prequant", score=score_weights(recorder, model, trained.state, dataset))


def export(recorder: Recorder, dataset: Dataset, model: Model, trained: TrainResult) -> Artifact:
    """Pack the weights. A cap that is broken ends the run later, with exit 3."""
    assert recorder.folder is not None
    path = recorder.folder / "artifact.pgolf"
    packed = pack(recorder, dataset, model, trained, path)
    with recorder.stage("quantize and pack"):
        budget = recorder.cfg["budget"]
        artifact = artifact_record(
            path,
            container.read(path),
            bytes_code=recorder.code_bytes,
            code_sha256=hashlib.sha256(recorder.script).hexdigest(),
            cap_bytes=budget["cap_bytes"],
            counts_tokenizer=budget["count_tokenizer"],
        )
    text = f"{artifact.sha256}, written before validation is opened"
    recorder.tell("artifact", text, artifact=artifact)
    if packed.k_factor is not None:
        recorder.tell("k", f"times {packed.k_factor:.3g} meets quant.target_bytes", factor=packed.k_factor)
    return artifact


def pack(recorder: Recorder, dataset: Dataset, model: Model, trained: TrainResult, path: Path) -> Packed:
    """Calibrate, quantize, pack and write to ``path`` atomically. Raises OverBudget where a target is out of reach."""
    quantizer = make(recorder.cfg["quant"])
    source = quantizer.calibration_source
    calibration = None if source is None else measure_inputs(recorder, dataset, model, trained, source)
    with recorder.stage("quantize and pack"), recorder.progress("pack") as progress:
        progress("pack", 0, None)
        packed = pack_weights(
            recorder.cfg,
            quantizer,
            dataset,
            model,
            trained.state,
            calibration,
            code_bytes=recorder.code_bytes,
        )
        container.write(path, packed.data)
    return packed


def measure_inputs(
    recorder: Recorder, dataset: Dataset, model: Model, trained: TrainResult, source: CalibrationSource
) -> Calibration:
    """Calibrate the trained weights in what training left of its budget; for weights of a finished run, in the
    whole reserve."""
    limit = seconds_left(recorder.cfg["budget"], trained.seconds)
    if limit is not None and recorder.trained_before:
        limit = source.reserve_seconds
    with recorder.stage(stage_of(source)), recorder.progress("calibrate") as progress:
        progress("calibrate", 0, None)
        found = calibrate(
            model,
            trained.state,
            source,
            lambda: build_loader(recorder.cfg, dataset, Process(rank=0, world=1)),
            limit,
        )
    cut = ", cut short: quant.calibration.reserve_seconds were used up" if found.cut_short else ""
    text = f"{found.tokens:,} tokens of {source.source} in {found.seconds:.1f} s{cut}"
    recorder.tell("inputs", text, source=source.source, found=found, trained=trained)
    return found


@dataclass(frozen=True)
class Final:
    """What the final evaluation did, for the certificate: the code and the terms, the stream it scored, what came
    back."""

    path: Path
    source: Source
    overrides: Mapping[str, Mapping[str, Any]] | None
    terms: Terms
    stream_N: np.ndarray
    sealed: SealedScore
    score: Score
    target_bytes_N: np.ndarray | None


def score_dev(recorder: Recorder, dataset: Dataset, artifact: Artifact) -> Evaluation:
    """Score dev from the artifact in this process: right after quantization, and as composed, once where both are one
    way of scoring."""
    with recorder.stage("dev scores"):
        evaluation = evaluation_from(container.read(artifact.path), device=str(recorder.device))
        network = evaluation.network
        assert isinstance(network, FixedNetwork)
        plain = evaluation_of(network.model, dataset.tokenizer, plain_windows(recorder.cfg))
        roundtrip = _score_dev(recorder, plain, dataset, "roundtrip")
        recorder.tell("score", which="roundtrip", score=roundtrip)
        if _scores_as(plain, evaluation):
            recorder.tell("once", "as composed is as after quantization: dev is scored once for both")
            recorder.tell("score", which="dev", score=roundtrip)
        else:
            recorder.tell("score", which="dev", score=_score_dev(recorder, evaluation, dataset, "dev"))
    return evaluation


def _scores_as(plain: Evaluation, composed: Evaluation) -> bool:
    """Whether ``composed`` gives every token the score that ``plain``, windows side by side, gives it."""
    one, other = plain.method, composed.method
    return type(one) is type(other) and vars(one) == vars(other) and not composed.beside


class Scored(Protocol):
    """A text with a validation split; see ``Dataset``."""

    def stream(self, split: str, limit: int | None = None) -> np.ndarray: ...
    def sidecar_target_bytes(self, split: str, limit: int | None = None) -> np.ndarray | None: ...


def score_final(
    recorder: Recorder,
    dataset: Scored,
    path: Path,
    source: Source,
    terms: Terms,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Final:
    """Open validation, now that the artifact's hash is known, and score it in the sealed process, by ``source``."""
    budget = recorder.cfg["budget"]
    limit = budget["subset_tokens"]
    with recorder.stage("evaluate"), recorder.progress("validation", unit="tokens") as progress:
        stream_N = stream_of(terms, dataset.stream("val", limit))
        sealed = score_sealed(
            path,
            stream_N,
            device=str(recorder.device),
            ranks=recorder.cfg.get("eval_ranks", 1),
            limit_seconds=PATIENCE * budget["eval_seconds"],
            overrides=overrides,
            source=source,
            progress=progress,
        )
    parts = parts_told(sealed.facts)
    recorder.tell("evaluate", ", ".join(f"{part} {seconds:.1f} s" for part, seconds in parts.items()), parts=parts)
    _tell_share(recorder, "evaluate", sealed.facts.get("core_share"))
    target_bytes_N = dataset.sidecar_target_bytes("val", limit)
    score = final_score(terms, stream_N, sealed, limit is not None, target_bytes_N)
    recorder.tell("score", which="final", score=score)
    return Final(path, source, overrides, terms, stream_N, sealed, score, target_bytes_N)


def certify_final(
    recorder: Recorder,
    final: Final,
    artifact_sha256: str,
    watched_dev: Score | None = None,
    documents: Sequence[str] | None = None,
) -> Certificate:
    """Prove that the final score is a code length: look at places drawn now that the scores stand.

    ``watched_dev``: the dev score of weights that were made here, while validation was closed. ``documents``: the raw
    text, where it is not that of the config's ``data``.
    """
    cfg = recorder.cfg
    if documents is None:
        documents = raw_documents(make(cfg["data"]), Path(cfg["cache_dir"]), "val")
    with recorder.stage("certify"), recorder.progress("certify", unit="tokens") as progress:
        audit, decoding = prove(
            final.path,
            final.stream_N,
            final.sealed,
            final.terms.tokenizer.vocab_size,
            PROFILES[cfg["certify"]],
            progress=progress,
            device=str(recorder.device),
            ranks=cfg.get("eval_ranks", 1),
            limit_seconds=PATIENCE * cfg["budget"]["eval_seconds"],
            overrides=final.overrides,
            source=final.source,
        )
        certificate = certify(
            Context(
                final.terms,
                final.stream_N,
                final.sealed,
                final.score,
                audit,
                decoding,
                documents,
                artifact_sha256,
                final.target_bytes_N,
                watched_dev,
            )
        )
    late = over_time(cfg, final.score)
    if late:
        recorder.tell("late", late)
    own = not final.overrides  # settings from elsewhere are in no bytes that are counted
    score = replace(with_audited_sums(final.score, audit.sum_n), valid=certificate.passed and not late and own)
    recorder.tell("certified", certificate=certificate, score=score)
    return certificate


def with_audited_sums(score: Score, sum_n: np.ndarray) -> Score:
    """The sums of those rows that were handed over, where the score knows of no others (``rows_are_whole``)."""
    if not math.isnan(score.sum_p_mean) or not len(sum_n):
        return score
    return replace(score, sum_p_mean=float(sum_n.mean()), sum_p_max=float(sum_n.max()))


# Of the text that a run shows in the end; about two lines.
SAMPLE_TOKENS, SAMPLE_TEMPERATURE = 48, 0.8


def show_sample(recorder: Recorder, evaluation: Evaluation) -> None:
    """Let the artifact say something; people like to see what they trained."""
    with recorder.stage("sample"):
        text = sample_text(evaluation, "", SAMPLE_TOKENS, SAMPLE_TEMPERATURE, recorder.cfg["seed"])
    recorder.tell("sample", "".join(letter if letter.isprintable() else " " for letter in text))


def over_time(cfg: Mapping[str, Any], score: Score | None) -> str:
    """Why the final score came too late to count; empty where it did not."""
    allowed = cfg["budget"]["eval_seconds"]
    if score is None or score.seconds <= allowed:
        return ""
    return (
        f"evaluation took {score.seconds:.0f} s of {allowed:g} allowed, so the score is not valid; on a busy machine "
        "eval.py scores the artifact again"
    )


def score_validation(recorder: Recorder, evaluation: Evaluation, dataset: Dataset) -> Score:
    """Score validation in this process, without a seal or a certificate: what a script that has none can say."""
    with recorder.stage("evaluate"), torch.no_grad():
        score = score_split(recorder.cfg, evaluation, dataset, "val")
    recorder.tell("score", which="final", score=score)
    return score
