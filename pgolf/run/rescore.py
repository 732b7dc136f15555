"""Score a finished artifact again, from its bytes alone, with a certificate: what eval.py runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgolf.artifact import container
from pgolf.artifact.container import Loaded
from pgolf.artifact.ledger import artifact_record, ledger_text
from pgolf.bundle.script import SCRIPT_NAME, make_serving
from pgolf.config.eval_words import EvalWords, overrides_of
from pgolf.core.atomic import write_text_atomic
from pgolf.core.command import complain
from pgolf.core.errors import CertificateError, OverBudget, RunError, UserError
from pgolf.core.events import Event
from pgolf.core.process import Process
from pgolf.core.protocols import Progress
from pgolf.core.results import Artifact, Certificate, Score
from pgolf.eval.from_artifact import evaluation_from, terms_from
from pgolf.eval.source import REBUILT, REBUILT_OTHERWISE, ScriptSource
from pgolf.run import stages
from pgolf.run.listeners import Screen
from pgolf.run.mirror import Mirror
from pgolf.run.recorder import Recorder
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.fixed import FixedTokenizer
from pgolf.track.console import Console
from pgolf.track.jsonable import to_json, to_plain
from pgolf.track.ledger import StageLedger
from pgolf.track.result import read_result

NOT_OWN = "not the artifact's own settings"
_ROW = "{:<{width}} {:>10} {:>9}  {}"


class Rescore(Recorder):
    """Shows what happens and counts its seconds; ``score`` and ``certificate`` are what it came to."""

    def __init__(self, cfg: Mapping[str, Any], console: Console, own_settings: bool) -> None:
        super().__init__(cfg, Process(rank=0, world=1))
        self.console, self.screen = console, Screen(console)
        self.ledger = StageLedger(budget=cfg["budget"])
        self.own_settings = own_settings
        self.over_cap = ""  # by how much script and artifact are, where they are
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
            self.certificate, score = event.facts["certificate"], event.facts["score"]
            self.score = replace(score, valid=score.valid and not self.over_cap)
        elif event.name == "evaluate":
            self.ledger.parts("evaluate", event.facts["parts"])
        self.screen.hear(event)

    def result(self, name: str) -> dict[str, Any]:
        """What the summary of a run shows, as far as an evaluation alone knows it."""
        assert self.score is not None and self.certificate is not None
        late, failed = stages.over_time(self.cfg, self.score), self.certificate.failed
        return to_plain(
            {
                "status": (failed and "certificate_failed")
                or (self.over_cap and "over_cap")
                or (late and "over_time")
                or "finished",
                "reason": "; ".join(failed) or self.over_cap or late or ("" if self.own_settings else NOT_OWN),
                "run": {"name": name, "seed": None, "rerun": 1},
                "scores": {"final": self.score.as_dict()},
                "train": None,
                "ledger": self.ledger.as_dict(),
                "budget": dict(self.cfg["budget"]),
            }
        )


def evaluate_all(several: Mapping[str, EvalWords]) -> int:
    """One after another, and then all of them beside each other; returns the worst exit status.

    An error of one is printed, counts as its status and keeps none of the others from being scored.
    """
    found: dict[str, tuple[str, str, str, int]] = {}
    for number, (label, words) in enumerate(several.items(), 1):
        print(f"{number} of {len(several)}: {label}", flush=True)
        try:
            score, status = _evaluated(words)
        except UserError as error:
            complain(error)
            found[label] = "-", "-", str(error).splitlines()[0], error.exit_status
            continue
        found[label] = f"{score.val_bpb:.4f}", f"{score.seconds:.1f}", _verdict(score, status), status
    width = max(map(len, found))
    print(_ROW.format("words", "bits/byte", "seconds", "verdict", width=width))
    for label, (bpb, seconds, verdict, _) in found.items():
        print(_ROW.format(label, bpb, seconds, verdict, width=width), flush=True)
    return max(status for *_, status in found.values())


def _verdict(score: Score, status: int) -> str:
    """In words, of a score and the exit status of who made it."""
    if status == CertificateError.exit_status:
        return "certificate failed"
    if status == OverBudget.exit_status:
        return "over its time or its bytes"
    return "valid" if score.valid else NOT_OWN


def evaluate(words: EvalWords) -> int:
    """Score, certify, print and write; returns the exit status."""
    return _evaluated(words)[1]


def _evaluated(words: EvalWords) -> tuple[Score, int]:
    loaded = container.read(words.artifact)
    overrides = overrides_of(words, loaded.header)
    with Console() as console, ExitStack() as mirrored:
        recorder = Rescore(words.settings, console, own_settings=not overrides)
        terms = terms_from(loaded, device=str(recorder.device), overrides=overrides)
        recorder.tell("artifact", f"{words.artifact}  sha256 {loaded.sha256}")
        machine = {"device": str(recorder.device), "threads": recorder.threads}
        mirror = mirrored.enter_context(Mirror(words, loaded, overrides, machine, console.line))
        for group, node in overrides.items():
            recorder.tell("override", f"{group}: {_changes(node, loaded.header[group])}")
        dataset = stages.prepare(recorder, recipe=FixedTokenizer(terms.tokenizer), trains=False)
        source = source_of(words.artifact, loaded, overrides)
        recorder.tell("code", source.label)
        counted = count(words.artifact, loaded, source.script, words.settings["budget"])
        recorder.tell("bytes", ledger_text(counted))
        if counted.over_by:
            recorder.over_cap = f"{counted.over_by:,} bytes over the cap of {counted.cap_bytes:,}"
        stages.rehearse(recorder, dataset, evaluation_from(loaded, device=str(recorder.device), overrides=overrides))
        final = stages.score_final(recorder, dataset, words.artifact, source, terms, overrides)
        certificate = stages.certify_final(recorder, final, loaded.sha256)
        assert recorder.score is not None
        result = recorder.result(str(words.artifact))
        console.summary(result, None, certificate, None)
        mirror.settle(result, certificate, counted)
        record = {
            "artifact_sha256": loaded.sha256,
            "overrides": overrides,
            "settings": NOT_OWN if overrides else "the artifact's own",
            "code_sha256": source.sha256,
            "bytes_total": counted.bytes_total,
            "cap_bytes": counted.cap_bytes,
            "score": recorder.score.as_dict(),
            "certificate": certificate.as_dict(),
        }
        write_text_atomic(words.out, to_json(record, indent=2) + "\n")
        recorder.tell("written", str(words.out))
    if not certificate.passed:
        return recorder.score, CertificateError.exit_status
    over = recorder.over_cap or stages.over_time(words.settings, recorder.score)
    return recorder.score, OverBudget.exit_status if over else 0


def count(path: Path, loaded: Loaded, script: bytes, budget: Mapping[str, Any]) -> Artifact:
    """What script and artifact weigh under ``budget``, whatever a result beside them says."""
    return artifact_record(
        path,
        loaded,
        bytes_code=len(script),
        code_sha256=hashlib.sha256(script).hexdigest(),
        cap_bytes=budget["cap_bytes"],
        counts_tokenizer=budget["count_tokenizer"],
    )


def source_of(path: Path, loaded: Loaded, overrides: Mapping[str, Mapping[str, Any]]) -> ScriptSource:
    """What is to score the artifact at ``path``: the script beside it that was counted, if its result vouches for both.

    Otherwise one is made of this package, for the artifact's settings or for those that replace them; its label says
    so. Settings that are given here are in no bytes that anybody counted.
    """
    script = None if overrides else _counted_script(path, loaded.sha256)
    if script is not None:
        return ScriptSource(script)
    header = dict(loaded.header) | dict(overrides)
    schemes = {tensor.scheme for tensor in loaded.state.tensors}
    bundle = make_serving(header, container.codecs(path), schemes, type(from_blob(loaded.tokenizer_blob)))
    return ScriptSource(bundle.script, REBUILT_OTHERWISE if overrides else REBUILT)


def _counted_script(path: Path, sha256: str) -> bytes | None:
    """The script in the artifact's folder; None where none is, or where it or the artifact is not that of the result
    there."""
    try:
        artifact = read_result(path.parent)["artifact"] or {}
        script = path.with_name(SCRIPT_NAME).read_bytes()
    except (OSError, RunError):
        return None
    stated = artifact.get("sha256"), artifact.get("code_sha256")
    return script if stated == (sha256, hashlib.sha256(script).hexdigest()) else None


def _changes(node: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {theirs.get(k, '-')} → {v}" for k, v in node.items() if v != theirs.get(k))
