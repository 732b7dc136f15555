"""Score a finished artifact again, from its bytes alone, with a certificate: what eval.py runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pgolf.artifact import container
from pgolf.config.eval_words import EvalWords, overrides_of
from pgolf.core.atomic import write_text_atomic
from pgolf.core.errors import CertificateError, OverBudget
from pgolf.core.events import Event
from pgolf.core.process import Process
from pgolf.core.protocols import Progress
from pgolf.core.results import Certificate, Score
from pgolf.eval.from_artifact import evaluation_from
from pgolf.run import stages
from pgolf.run.listeners import Screen
from pgolf.run.recorder import Recorder
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.fixed import FixedTokenizer
from pgolf.track.console import Console
from pgolf.track.jsonable import to_json, to_plain
from pgolf.track.ledger import StageLedger


class Rescore(Recorder):
    """Shows what happens and counts its seconds; ``score`` and ``certificate`` are what it came to."""

    def __init__(self, cfg: Mapping[str, Any], console: Console) -> None:
        super().__init__(cfg, Process(rank=0, world=1))
        self.console, self.screen = console, Screen(console)
        self.ledger = StageLedger(budget=cfg["budget"])
        self.score: Score | None = None
        self.certificate: Certificate | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with self.ledger.stage(name):
            yield

    def progress(self, label: str, unit: str = "") -> AbstractContextManager[Progress]:
        return self.screen.progress(label, unit)

    def hear(self, event: Event) -> None:
        if event.name == "certified":
            self.certificate, self.score = event.facts["certificate"], event.facts["score"]
        self.screen.hear(event)

    def result(self, name: str) -> dict[str, Any]:
        """What the summary of a run shows, as far as an evaluation alone knows it."""
        assert self.score is not None and self.certificate is not None
        late, failed = stages.over_time(self.cfg, self.score), self.certificate.failed
        return to_plain(
            {
                "status": "certificate_failed" if failed else "over_time" if late else "finished",
                "reason": "; ".join(failed) or late,
                "run": {"name": name, "seed": None, "rerun": 1},
                "scores": {"final": self.score.as_dict()},
                "train": None,
                "ledger": self.ledger.as_dict(),
                "budget": dict(self.cfg["budget"]),
            }
        )


def evaluate(words: EvalWords) -> int:
    """Score, certify, print and write; returns the exit status."""
    loaded = container.read(words.artifact)
    overrides = overrides_of(words, loaded.header)
    with Console() as console:
        recorder = Rescore(words.settings, console)
        evaluation = evaluation_from(loaded, device=str(recorder.device), overrides=overrides)
        recorder.tell("artifact", f"{words.artifact}  sha256 {loaded.sha256}")
        for group, node in overrides.items():
            recorder.tell("override", f"{group}: {_changes(node, loaded.header[group])}")
        dataset = stages.prepare(recorder, recipe=FixedTokenizer(from_blob(loaded.tokenizer_blob)), trains=False)
        final = stages.score_final(recorder, dataset, words.artifact, evaluation, overrides)
        certificate = stages.certify_final(recorder, final, loaded.sha256)
        assert recorder.score is not None
        console.summary(recorder.result(str(words.artifact)), None, certificate, None)
        record = {
            "artifact_sha256": loaded.sha256,
            "overrides": overrides,
            "score": recorder.score.as_dict(),
            "certificate": certificate.as_dict(),
        }
        write_text_atomic(words.out, to_json(record, indent=2) + "\n")
        recorder.tell("written", str(words.out))
    if not certificate.passed:
        return CertificateError.exit_status
    return OverBudget.exit_status if stages.over_time(words.settings, recorder.score) else 0


def _changes(node: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {theirs.get(k, '-')} → {v}" for k, v in node.items() if v != theirs.get(k))
