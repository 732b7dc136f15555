"""The main function of a bundled ``train_gpt.py``: a run's road without its records.

The stages are those of ``train.py``, so that a fixed number of steps gives the same artifact to the bit. Validation
is scored in this process; certificates are the business of ``train.py`` and ``eval.py``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pgolf.artifact import container
from pgolf.core.errors import DataError, UserError
from pgolf.core.events import Event
from pgolf.core.process import Process
from pgolf.eval.from_artifact import evaluation_from
from pgolf.run import stages
from pgolf.run.recorder import Recorder
from pgolf.tokenizer.fixed import FixedTokenizer

DEFAULT_SEED = 1337
_PRINTED_STEPS = 10  # at the start; then every so many


class Printer(Recorder):
    """Prints the first steps, every tenth and every score, in the words that tools around the challenge read."""

    def hear(self, event: Event) -> None:
        facts, step = event.facts, event.step
        if event.name == "step" and (step <= _PRINTED_STEPS or step % _PRINTED_STEPS == 0):
            ms = 1000 * facts["train_seconds"]
            text = f"train_loss:{facts['train_loss']:.4f} train_time:{ms:.0f}ms step_avg:{ms / step:.2f}ms"
            say(f"step:{step} {text}")
        elif event.name == "dev":
            say(f"step:{step} dev_loss:{facts['dev_loss']:.4f} dev_bpb:{facts['dev_bpb']:.4f}")
        elif event.name == "compile_failed":
            say(f"compile: {event.text}")
        elif event.name == "score":
            score = facts["score"]
            say(
                f"val_loss:{score.val_loss:.8f} val_bpb:{score.val_bpb:.8f} tokens:{score.tokens} "
                f"bytes:{score.bytes} eval_time:{1000 * score.seconds:.0f}ms"
            )


def main(cfg: Mapping[str, Any], argv: Sequence[str] | None = None) -> int:
    """Train and score, or score the artifact that ``argv`` names; returns the exit status."""
    parser = argparse.ArgumentParser(description="Train, pack and score; or score ARTIFACT.")
    parser.add_argument("artifact", nargs="?", metavar="ARTIFACT")
    parser.add_argument("--data", metavar="DIR", help="token shards as 'pgolf data prepare' leaves them")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--out", default="artifact.pgolf", help="where training writes its artifact")
    words = parser.parse_args(argv)
    try:
        printer = Printer({**cfg, "seed": words.seed, "cache_dir": ".cache"}, Process(rank=0, world=1))
        printer.code_bytes = Path(sys.argv[0]).stat().st_size  # this script's, as train.py counts it
        if words.data is None and cfg["data"] is None:
            raise DataError("--data DIR is needed: this run's shards are published ones")
        data = None if words.data is None else Path(words.data)
        if words.artifact is None:
            train(printer, data, Path(words.out))
        evaluate(printer, data, Path(words.artifact or words.out))
    except (UserError, ImportError, OSError) as error:  # a foreign artifact may want a module this script has not
        say(f"error: {error}")
        return getattr(error, "exit_status", 2)
    return 0


def train(printer: Printer, data: Path | None, out: Path) -> None:
    """Text to artifact. Raises UserError."""
    out.parent.mkdir(parents=True, exist_ok=True)  # now, rather than no place for what took its time
    dataset = stages.prepare(printer, data)
    trainer = stages.build(printer, dataset)
    trained = stages.fit(printer, trainer)
    packed = stages.pack(printer, dataset, trainer.model, trained, out)
    say(f"{out}: {len(packed.data)} bytes, sha256 {container.read(out).sha256}")


def evaluate(printer: Printer, data: Path | None, path: Path) -> None:
    """Score validation from the artifact's bytes; its settings are those of its header. Raises UserError."""
    loaded = container.read(path)
    evaluation = evaluation_from(loaded, device=str(printer.device))
    recipe = FixedTokenizer(evaluation.tokenizer)  # type: ignore[arg-type]
    dataset = stages.prepare(printer, data, recipe, trains=False)
    if dataset.tokenizer.to_blob() != loaded.tokenizer_blob:
        raise DataError(f"{path}: its tokenizer is not the one that made {dataset.directory}")
    stages.score_validation(printer, evaluation, dataset)


def say(text: str) -> None:
    """Print at once; where the reader has left (``| head``), the rest goes nowhere and the run goes on."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the whole process
