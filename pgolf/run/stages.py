"""The stages of a run, one function each, in the order train.py calls them (style, "Data flow").

Each takes the run and what the previous stages made, counts its own seconds and writes its own log lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgolf.arch.table import HEADER, model_table
from pgolf.artifact import container
from pgolf.artifact.forecast import Forecast, forecast, refuse_unreachable
from pgolf.artifact.ledger import artifact_record, ledger_table, ledger_text
from pgolf.artifact.pack import pack as pack_artifact
from pgolf.build import (
    build_loader,
    build_model,
    build_trainer,
    compile_loss,
    prepare_dataset,
)
from pgolf.bundle.script import make_bundle
from pgolf.core.atomic import write_bytes_atomic, write_text_atomic
from pgolf.core.budget import seconds_left
from pgolf.core.make import make
from pgolf.core.process import peak_memory, seed_everything
from pgolf.core.protocols import Model, RouteSwitch
from pgolf.core.results import Artifact, Certificate, Score, TrainResult
from pgolf.data.base import raw_documents
from pgolf.data.dataset import Dataset, check_long_enough
from pgolf.eval.evaluation import Evaluation, evaluation_of
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.network import NetworkExpert
from pgolf.eval.sealed import PATIENCE, SealedScore, final_score, score_sealed
from pgolf.eval.split import float_evaluation, plain_windows, score_split
from pgolf.hook.validate import Validate
from pgolf.proof.certificate import certify
from pgolf.qat.start import Event as StartEvent
from pgolf.qat.start import Switch
from pgolf.quant.calibration.base import Calibration, CalibrationSource
from pgolf.quant.calibration.measure import calibrate, stage_of
from pgolf.run.record import Run
from pgolf.run.report import Report
from pgolf.tokenizer.recipe import BOS_ID
from pgolf.track import textlog
from pgolf.track.console import Console
from pgolf.track.jsonable import to_json
from pgolf.track.result import ModelFacts
from pgolf.train.activation import Activate, Event
from pgolf.train.trainer import Trainer


def print_model(cfg: Mapping[str, Any]) -> tuple[float, int]:
    """Print the composed model's table and end; nothing is trained, fetched or written."""
    vocab_size = cfg["tokenizer"].get("vocab_size")
    if vocab_size is None:
        vocab_size = make(cfg["tokenizer"]).vocab_size
    with torch.device("meta"):
        model = make(cfg["arch"], vocab_size=vocab_size, bos_id=BOS_ID)
    show_model(Console(), cfg, model, len(make_bundle(cfg).script), None)
    return math.nan, 0


def announce_model(run: Run, dataset: Dataset, model: Model) -> Forecast:
    """Show what will be trained and what it will weigh, with the script that is the run's code."""
    with run.stage("build"):
        run.script = make_bundle(run.cfg).script
        run.forecast = show_model(run.console, run.cfg, model, len(run.script), dataset.tokenizer.to_blob())
    return run.forecast


def show_model(
    console: Console,
    cfg: Mapping[str, Any],
    model: Model,
    bytes_code: int,
    tokenizer_blob: bytes | None,
) -> Forecast:
    """The table by component, the visits, the addons and where each addon comes from; what it all will weigh."""
    expected = forecast(cfg, model, bytes_code, tokenizer_blob)
    table = model_table(model, expected.bytes_by_name)
    name = cfg["choices"]["arch"]
    console.table(f"{name}, size {cfg['size']['name']}: {table.parameters:,} parameters", table.rows, HEADER)
    for note in table.notes:
        console.line(note)
    for addon, origin in cfg["choices"]["arch/addon"].items():
        console.line(f"addon {addon}, from {origin}: at {', '.join(table.sites[addon])}")
    console.line(f"forecast {expected}")
    return expected


def prepare(run: Run) -> Dataset:
    """Text to shards, from the cache where they exist already."""
    with run.stage("prepare"), run.console.progress("prepare") as progress:
        dataset = prepare_dataset(run.cfg, progress)
        check_long_enough(dataset, max(run.cfg["train"]["window"], run.cfg["size"]["eval_window"]))
    facts = dataset.facts
    run.console.line(
        f"data     {dataset.name}, {dataset.tokenizer.name}: {facts['train'].tokens:,} training tokens in "
        f"{facts['train'].documents:,} documents, dev {facts['dev'].tokens:,}, validation {facts['val'].tokens:,}"
    )
    run.log.write(
        textlog.val_loader(dataset.name, facts["val"].tokens),
        textlog.train_loader(dataset.name, len(dataset.shards["train"])),
    )
    return dataset


def fit(run: Run, dataset: Dataset) -> tuple[Model, TrainResult]:
    """Train inside the budget; the clock starts after the compile warm-up."""
    seed_everything(run.cfg["seed"])
    with run.stage("build"):
        model = build_model(run.cfg, dataset, run.device)
        trainer = build_trainer(run.cfg, model, dataset, run.process)
    run.trainer = trainer
    run.model = ModelFacts(params=sum(p.numel() for p in model.parameters()), size=run.cfg["size"]["name"])
    run.log.write(textlog.model_params(run.model.params))
    refuse_unreachable(announce_model(run, dataset, model))
    _connect(run, trainer, dataset)
    for index, phase in enumerate(trainer.phases()):
        run.console.line(f"{'phases' if index == 0 else '':<9}{phase}")
    if run.machine["compile"]:
        _compile(run, trainer)
    with run.stage("train"), run.console.progress("train", unit="steps") as progress:
        trainer.hooks.append(Report(run, progress))
        run.train = trainer.fit()
    if run.train.stopped_by != "steps":
        reason = f"{run.train.stopped_by}_cap"
        run.log.write(textlog.stopping_early(reason, run.train.seconds, run.train.steps, run.train.steps))
    run.log.write(textlog.peak_memory(*peak_memory(run.device)))
    return model, run.train


def _compile(run: Run, trainer: Trainer) -> None:
    """Compile the loss and warm it up outside the clock; ``compile=auto`` goes on eagerly where that fails."""
    train = run.cfg["train"]
    with run.stage("compile"), run.console.progress("compile", unit="steps") as progress:

        def report(done: int, total: int) -> None:
            run.log.write(textlog.warmup_step(done, total))
            progress("compile", done, total)

        failed = compile_loss(trainer, train["compile"], train["compile_seconds"], report)
    if failed:
        run.console.line(f"compile  failed, training goes on eagerly: {failed}")
        run.machine["compile"] = False
        run.save_config()


def _connect(run: Run, trainer: Trainer, dataset: Dataset) -> None:
    """Give the validation hook, where there is one, its eyes on dev, and the switches of training a voice."""

    def measure(state: Mapping[str, Tensor], tokens: int) -> Score:
        with run.stage("validate"):
            return _score_weights(run, trainer.model, state, dataset, sample=tokens)

    def report(trainer: Trainer, score: Score) -> None:
        seconds = trainer.clock.elapsed
        steps = trainer.plan.steps or trainer.step
        run.console.line(f"dev      {score.val_bpb:.4f} bits per byte after {trainer.step} steps (sample)")
        run.log.write(textlog.val_step(trainer.step, steps, score.val_loss, score.val_bpb, seconds))
        run.metrics(trainer.step, dev_loss=score.val_loss, dev_bpb=score.val_bpb)

    def report_switch(event: Event, step: int, activation: RouteSwitch) -> None:
        run.log.write(textlog.switch("recurrence", event, step, route=activation.route))
        text = f"active after {step:,} steps"
        if event == "not_activated":
            text = f"never active: it starts at {activation}, the run ended after {step:,} steps"
        run.console.line(f"switch   recurrence: route {activation.route} {text}")

    def report_start(event: StartEvent, step: int, lr_scale: float) -> None:
        run.log.write(textlog.switch("late_qat" if step else "qat", event, step, scale=lr_scale))
        text = f"on after {step:,} steps, learning rate times {lr_scale:.3g}"
        if event == "not_enabled":
            text = f"never on: the run ended after {step:,} steps, learning rate times {lr_scale:.3g}"
        run.console.line(f"switch   qat={run.cfg['choices']['qat']} {text}")

    for hook in trainer.hooks:
        if isinstance(hook, Validate):
            hook.connect(measure, report)
        elif isinstance(hook, Activate):
            hook.connect(report_switch)
        elif isinstance(hook, Switch):
            hook.connect(report_start)


def _score_weights(
    run: Run, model: Model, state: Mapping[str, Tensor], dataset: Dataset, sample: int | None = None
) -> Score:
    """Dev score of float weights in a copy of the model, non-overlapping; of a sample where one is asked for."""
    return _score_dev(run, float_evaluation(run.cfg, model, state, dataset), dataset, "dev", sample)


def _score_dev(
    run: Run, evaluation: Evaluation, dataset: Dataset, label: str, sample: int | None = None
) -> Score:
    """Score dev in this process; all of it, the budget's slice, or ``sample`` tokens spread over that."""
    with run.console.progress(label, unit="tokens") as progress:
        return score_split(
            run.cfg,
            evaluation,
            dataset,
            "dev",
            sample=sample,
            progress=lambda done, total: progress(label, done, total),
        )


def pack(run: Run, dataset: Dataset, model: Model, trained: TrainResult) -> Artifact:
    """Quantize, pack, write atomically, read back, weigh. A cap that is broken ends the run later, with exit 3."""
    with run.stage("prequant score"):
        run.scores["prequant"] = prequant = _score_weights(run, model, trained.state, dataset)
    run.log.write(textlog.post_ema(prequant.val_loss, prequant.val_bpb, prequant.seconds))
    quantizer = make(run.cfg["quant"])
    source = quantizer.calibration_source
    calibration = None if source is None else measure_inputs(run, dataset, model, trained, source)
    with run.stage("quantize and pack"), run.console.progress("pack") as progress:
        progress("pack", 0, None)
        write_bytes_atomic(run.folder.script, run.script)
        packed = pack_artifact(
            run.cfg, quantizer, dataset, model, trained.state, calibration, code_bytes=len(run.script)
        )
        container.write(run.folder.artifact, packed.data)
        budget = run.cfg["budget"]
        run.artifact = artifact = artifact_record(
            run.folder.artifact,
            container.read(run.folder.artifact),
            bytes_code=len(run.script),
            cap_bytes=budget["cap_bytes"],
            counts_tokenizer=budget["count_tokenizer"],
        )
    label = f"{run.cfg['choices']['quant']}+{run.cfg['choices']['compressor']}"
    run.log.write(
        textlog.serialized_model(label, artifact.bytes_weights),
        textlog.code_size(artifact.bytes_code),
        textlog.submission_size(label, artifact.bytes_total),
    )
    run.log.write(textlog.artifact_hash(artifact.sha256))
    run.console.line(f"artifact {artifact.sha256}, written before validation is opened")
    _compare_with_forecast(run, dataset, model, artifact, packed.k_factor)
    if artifact.over_by:
        run.console.line(ledger_text(artifact))
        run.console.table("bytes by part", ledger_table(artifact))
    return artifact


def _compare_with_forecast(
    run: Run, dataset: Dataset, model: Model, artifact: Artifact, k_factor: float | None
) -> None:
    """Where k was fitted, the size foretold is that of the k taken: the target is met in any case."""
    expected = run.forecast
    if k_factor is not None:
        run.console.line(f"k        times {k_factor:.3g} meets quant.target_bytes")
        with run.stage("quantize and pack"):
            blob = dataset.tokenizer.to_blob()
            expected = forecast(run.cfg, model, len(run.script), blob, k_factor)
    assert expected is not None, "the model was announced"
    run.console.line(f"forecast {expected.against(artifact.bytes_total)}")


def measure_inputs(
    run: Run, dataset: Dataset, model: Model, trained: TrainResult, source: CalibrationSource
) -> Calibration:
    """Calibrate the trained weights in what training left of its budget; for weights of a finished run, in the
    whole reserve."""
    budget = run.cfg["budget"]
    limit = seconds_left(budget, trained.seconds)
    if limit is not None and run.trained_before:
        limit = source.reserve_seconds
    with run.stage(stage_of(source)), run.console.progress("calibrate") as progress:
        progress("calibrate", 0, None)
        found = calibrate(
            model,
            trained.state,
            source,
            lambda: build_loader(run.cfg, dataset, run.process),
            limit,
        )
    run.log.write(
        textlog.calibration(source.source, found.seconds),
        textlog.wallclock("calibration", trained.seconds + found.seconds, budget["train_seconds"]),
    )
    cut = ", cut short: quant.calibration.reserve_seconds were used up" if found.cut_short else ""
    run.console.line(f"inputs   {found.tokens:,} tokens of {source.source} in {found.seconds:.1f} s{cut}")
    return found


@dataclass(frozen=True)
class Final:
    """What the final evaluation did, for the certificate: the recipe, the stream it scored, what came back."""

    evaluation: Evaluation
    stream_N: np.ndarray
    sealed: SealedScore
    score: Score
    target_bytes_N: np.ndarray | None


def score_dev(run: Run, dataset: Dataset, artifact: Artifact) -> Evaluation:
    """Score dev from the artifact in this process: right after quantization, and as composed."""
    with run.stage("dev scores"):
        evaluation = evaluation_from(container.read(artifact.path), device=str(run.device))
        network = evaluation.network
        assert isinstance(network, NetworkExpert)
        plain = evaluation_of(network.model, dataset.tokenizer, plain_windows(run.cfg))
        run.scores["roundtrip"] = roundtrip = _score_dev(run, plain, dataset, "roundtrip")
        run.scores["dev"] = _score_dev(run, evaluation, dataset, "dev")
    quant = run.cfg["choices"]["quant"]
    run.log.write(*textlog.roundtrip(quant, roundtrip.val_loss, roundtrip.val_bpb, roundtrip.seconds))
    return evaluation


def score_final(run: Run, dataset: Dataset, artifact: Artifact, evaluation: Evaluation) -> Final:
    """Open validation, now that the artifact's hash is written, and score it in the sealed process."""
    with run.stage("evaluate"), run.console.progress("validation", unit="tokens") as progress:
        stream_N = evaluation.stream(dataset.stream("val", run.cfg["budget"]["subset_tokens"]))
        sealed = score_sealed(
            artifact.path,
            stream_N,
            device=str(run.device),
            limit_seconds=PATIENCE * run.cfg["budget"]["eval_seconds"],
            progress=lambda done, total: progress("validation", done, total),
        )
    subset = run.cfg["budget"]["subset_tokens"] is not None
    target_bytes_N = dataset.sidecar_target_bytes("val", run.cfg["budget"]["subset_tokens"])
    final = final_score(evaluation, stream_N, sealed, subset, target_bytes_N)
    run.scores["final"] = final
    quant = run.cfg["choices"]["quant"]
    facts = (final.val_loss, final.val_bpb)
    if final.method == "sliding":
        run.log.write(*textlog.sliding_window(quant, *facts, final.stride, final.seconds))
    else:
        run.log.write(*textlog.final_score(quant, final.method, *facts, final.seconds))
    run.metrics(run.train.steps if run.train else 0, final_loss=final.val_loss, final_bpb=final.val_bpb)
    return Final(evaluation, stream_N, sealed, final, target_bytes_N)


def certify_final(run: Run, final: Final, artifact: Artifact) -> Certificate:
    """Prove that the final score is a code length, and write certificate.json."""
    with run.stage("certify"), run.console.progress("certify") as progress:
        run.certificate = certificate = certify(
            final.evaluation,
            final.stream_N,
            final.sealed,
            final.score,
            probe_seconds=run.cfg["budget"]["probe_seconds"],
            documents=raw_documents(make(run.cfg["data"]), Path(run.cfg["cache_dir"]), "val"),
            artifact_sha256=artifact.sha256,
            target_bytes_N=final.target_bytes_N,
            progress=lambda probe: progress(f"certify {probe}", 0, None),
        )
    run.scores["final"] = replace(final.score, valid=certificate.passed)
    write_text_atomic(run.folder.certificate, to_json(certificate.as_dict(), indent=2) + "\n")
    return certificate
