"""A run's road without its records, from text to artifact to score: what a bundled ``train_gpt.py`` does.

The same objects in the same order as ``pgolf.run.stages``, so that a fixed number of steps gives the same artifact
to the bit. Validation is scored in this process; certificates are the business of ``train.py`` and ``eval.py``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pgolf.artifact import container
from pgolf.artifact.pack import pack
from pgolf.build import (
    build_loader,
    build_model,
    build_trainer,
    compile_loss,
    prepare_dataset,
    wants_compile,
)
from pgolf.core.budget import seconds_left
from pgolf.core.errors import DataError, UserError
from pgolf.core.make import make
from pgolf.core.process import Process, choose_device, seed_everything
from pgolf.core.results import Score
from pgolf.data.dataset import Dataset, check_long_enough, load
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.split import float_evaluation, score_split
from pgolf.hook.validate import Validate
from pgolf.quant.calibration.measure import calibrate
from pgolf.tokenizer.fixed import FixedTokenizer
from pgolf.tokenizer.recipe import Recipe
from pgolf.train.trainer import Hook, Trainer

DEFAULT_SEED = 1337
_PRINTED_STEPS = 10  # at the start; then every so many


class Print(Hook):
    """A line for the first steps and for every tenth, in the words that tools around the challenge read."""

    def after_step(self, trainer: Trainer) -> None:
        if trainer.step <= _PRINTED_STEPS or trainer.step % _PRINTED_STEPS == 0:
            ms = 1000 * trainer.clock.elapsed
            say(
                f"step:{trainer.step} train_loss:{trainer.loss_nats:.4f} train_time:{ms:.0f}ms "
                f"step_avg:{ms / trainer.step:.2f}ms"
            )


def main(cfg: Mapping[str, Any], argv: Sequence[str] | None = None) -> int:
    """Train and score, or score the artifact that ``argv`` names; returns the exit status."""
    parser = argparse.ArgumentParser(description="Train, pack and score; or score ARTIFACT.")
    parser.add_argument("artifact", nargs="?", metavar="ARTIFACT")
    parser.add_argument("--data", metavar="DIR", help="token shards as 'pgolf data prepare' leaves them")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--out", default="artifact.pgolf", help="where training writes its artifact")
    words = parser.parse_args(argv)
    cfg = {**cfg, "seed": words.seed, "cache_dir": ".cache"}
    try:
        if cfg["train"]["threads"]:
            torch.set_num_threads(cfg["train"]["threads"])
        if words.artifact is None:
            train(cfg, words.data, words.out)
        evaluate(cfg, words.data, words.artifact or words.out)
    except (UserError, ImportError) as error:  # a foreign artifact may want a module this script has not
        say(f"error: {error}")
        return getattr(error, "exit_status", 2)
    return 0


def train(cfg: Mapping[str, Any], data: str | None, out: str) -> None:
    """Text to artifact. Raises UserError."""
    dataset = open_dataset(cfg, data)
    device = choose_device(cfg["device"])
    seed_everything(cfg["seed"])
    model = build_model(cfg, dataset, device)
    process = Process(rank=0, world=1)
    trainer = build_trainer(cfg, model, dataset, process)
    for hook in trainer.hooks:
        if isinstance(hook, Validate):
            connect(hook, cfg, trainer, dataset)
    if wants_compile(cfg, device):
        mode, seconds = cfg["train"]["compile"], cfg["train"]["compile_seconds"]
        failed = compile_loss(trainer, mode, seconds, lambda *step: None)
        if failed:
            say(f"not compiled: {failed}")
    trainer.hooks.append(Print())
    trained = trainer.fit()
    quantizer = make(cfg["quant"])
    source, calibration = quantizer.calibration_source, None
    if source is not None:
        left = seconds_left(cfg["budget"], trained.seconds)
        calibration = calibrate(
            model, trained.state, source, lambda: build_loader(cfg, dataset, process), left
        )
    code_bytes = Path(sys.argv[0]).stat().st_size  # this script's, as train.py counts it
    artifact = pack(cfg, quantizer, dataset, model, trained.state, calibration, code_bytes=code_bytes).data
    container.write(out, artifact)
    say(f"{out}: {len(artifact)} bytes, sha256 {container.read(out).sha256}")


def evaluate(cfg: Mapping[str, Any], data: str | None, path: str) -> None:
    """Score validation from the artifact's bytes; its settings are those of its header. Raises UserError."""
    loaded = container.read(path)
    evaluation = evaluation_from(loaded, device=str(choose_device(cfg["device"])))
    dataset = open_dataset(cfg, data, FixedTokenizer(evaluation.tokenizer))  # type: ignore[arg-type]
    if dataset.tokenizer.to_blob() != loaded.tokenizer_blob:
        raise DataError(f"{path}: its tokenizer is not the one that made {dataset.directory}")
    score = score_split(cfg, evaluation, dataset, "val")
    say(
        f"val_loss:{score.val_loss:.8f} val_bpb:{score.val_bpb:.8f} tokens:{score.tokens} bytes:{score.bytes} "
        f"eval_time:{1000 * score.seconds:.0f}ms"
    )


def open_dataset(cfg: Mapping[str, Any], data: str | None, recipe: Recipe | None = None) -> Dataset:
    """The prepared shards in ``data``, or the run's own text prepared under ``.cache``. Raises DataError."""
    if data is None and cfg["data"] is None:
        raise DataError("--data DIR is needed: this run's shards are published ones")
    dataset = prepare_dataset(cfg, lambda *state: None, recipe) if data is None else load(Path(data))
    check_long_enough(dataset, max(cfg["train"]["window"], cfg["size"]["eval_window"]))
    return dataset


def connect(hook: Validate, cfg: Mapping[str, Any], trainer: Trainer, dataset: Dataset) -> None:
    """Let the hook score dev and print it."""

    def measure(state: Mapping[str, Tensor], tokens: int) -> Score:
        evaluation = float_evaluation(cfg, trainer.model, state, dataset)
        return score_split(cfg, evaluation, dataset, "dev", sample=tokens)

    def report(trainer: Trainer, score: Score) -> None:
        say(f"step:{trainer.step} dev_loss:{score.val_loss:.4f} dev_bpb:{score.val_bpb:.4f}")

    hook.connect(measure, report)


def say(text: str) -> None:
    print(text, flush=True)
