"""Does a record's claim stand? Everything again from its folder, on this machine, at places that nobody knew.

A folder claims by its result.json, a record by one for each seed. What it claims of bytes is counted, the artifact is
scored by the folder's own script in sealed processes, and the certificate is made anew. Nothing of the folder is run in
this process, and its config.yaml only says which text, cut how, and which budget.

What a claim may be off by, for another processor rounds otherwise, is worth nothing in a comparison: that is made of
the scores found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pgolf.artifact import container
from pgolf.artifact.container import Loaded
from pgolf.bundle.script import SCRIPT_NAME
from pgolf.config.check import CERTIFY_ORDER
from pgolf.config.chosen import choice_problems
from pgolf.config.compose import conf_dir, node, read_config
from pgolf.config.schema import with_defaults
from pgolf.core.command import complain
from pgolf.core.errors import CertificateError, ConfigError, DataError, OverBudget, RunError, UserError
from pgolf.core.protocols import Tokenizer
from pgolf.core.results import Certificate, Score
from pgolf.data.documents import read_text
from pgolf.eval.from_artifact import terms_from
from pgolf.eval.source import ScriptSource
from pgolf.report.against import Reference, compared
from pgolf.report.agreement import disagreement
from pgolf.report.checklist import budget_differences
from pgolf.report.entry import Fields, entry_of
from pgolf.report.experiments import experiments
from pgolf.report.gather import gather
from pgolf.report.record import is_record, record_problems, record_runs
from pgolf.report.statistics import Sample
from pgolf.run import stages
from pgolf.run.rescore import Rescore, count
from pgolf.run.rules import check
from pgolf.tokenizer.fixed import FixedTokenizer
from pgolf.tokenizer.recipe import stream_of_texts
from pgolf.track.console import Console
from pgolf.track.ledger import within
from pgolf.track.result import read_result, write_result

# What is read of a run's config.
_READ = ("data", "size", "budget", "certify", "device", "cache_dir", "eval_ranks", "seed")
# Of a score found here, in place of a claim's.
_FOUND = ("val_loss", "val_bpb", "side_bits", "claimed_bpb", "renormalised_bpb", "sum_p_mean", "sum_p_max")
# Bits per byte; another processor rounds otherwise, and nothing that is worth claiming is as small.
TOLERANCE_BPB = 1e-4


@dataclass(frozen=True)
class GivenText:
    """Texts that stand for validation, one document each."""

    tokenizer: Tokenizer
    documents: Sequence[str]

    def stream(self, split: str, limit: int | None = None) -> np.ndarray:
        return stream_of_texts(self.tokenizer, self.documents)[:limit]

    def sidecar_target_bytes(self, split: str, limit: int | None = None) -> np.ndarray | None:
        return None


@dataclass(frozen=True)
class Judged:
    """How judging a run ended, and the score that was found; None where none was."""

    status: int
    score: Score | None = None


def verify(
    folder: Path,
    texts: Sequence[Path] = (),
    certify: str | None = None,
    cache_dir: Path | None = None,
    against: Sequence[Reference] = (),
) -> int:
    """Say whether the claim stands; returns the exit status: 4 where it does not, 3 where it does and its evaluation
    took longer than allowed on this machine.

    ``folder``: that of a run, or a record of several, of which each is judged. ``texts``: files, or folders of .txt
    files, that are the validation text; by default that of the run's ``data``. ``certify``: a profile, by default the
    run's. ``against``: what the scores found of a record are compared with. Raises UserError for a folder that cannot
    be judged.
    """
    if not is_record(folder):
        if against:
            raise ConfigError(f"--against: {folder} is one run; a record of several is what is compared")
        return _verify_run(folder, texts, certify, cache_dir).status
    with TemporaryDirectory(prefix="pgolf-verify-") as room:
        runs = record_runs(folder, Path(room) / folder.resolve().name)
        judgements = [_judged(run, texts, certify, cache_dir) for run in runs.values()]
        found = {run: judged.score for run, judged in zip(runs.values(), judgements, strict=True) if judged.score}
        problems = [*record_problems(folder), *_copies(found)]
        sentences = list(_compared(found, against)) if len(found) == len(runs) else []
    for problem in problems:
        print(f"differs  {problem}")
    for sentence in sentences:
        print(f"found    {sentence}")
    statuses = [judged.status for judged in judgements]
    late = [tag for tag, status in zip(runs, statuses, strict=True) if status == OverBudget.exit_status]
    failed = [tag for tag, status in zip(runs, statuses, strict=True) if status and tag not in late]
    told = f"does not stand: seed {', '.join(failed)}" if failed else "does not stand" if problems else "stands"
    told += f"; over time on this machine: seed {', '.join(late)}" if late else ""
    print(f"record   {folder}: the claim of {len(runs)} runs {told}", flush=True)
    return max([*statuses, CertificateError.exit_status if problems else 0])


def _judged(run: Path, texts: Sequence[Path], certify: str | None, cache_dir: Path | None) -> Judged:
    """One run of a record; an error of one is told, counts as its status and keeps none of the others unjudged."""
    try:
        return _verify_run(run, texts, certify, cache_dir)
    except UserError as error:
        complain(error, run.name)
        return Judged(error.exit_status)


def _copies(found: Mapping[Path, Score]) -> Iterator[str]:
    """Seeds that score the same to the last bit: trained apart, no two models do."""
    first: dict[float, Path] = {}
    for run, score in found.items():
        other = first.setdefault(score.val_loss, run)
        if other is not run and _seed(other) != _seed(run):
            yield f"{run.name}: scores as {other.name} does, to the last bit: one training is no two seeds"


def _seed(run: Path) -> int:
    return read_result(run)["run"]["seed"]


def _compared(found: Mapping[Path, Score], against: Sequence[Reference]) -> Iterator[str]:
    """What was found of all seeds, and whether that is better than the references; the claimed scores in the folders of
    the runs give way to it."""
    for run, score in found.items():
        result = read_result(run)
        result["scores"]["final"] |= {name: getattr(score, name) for name in _FOUND}
        write_result(run, result)
    made = experiments(gather(list(found)).entries)
    for one in made:
        if one.bpb is not None and one.loss is not None:
            yield f"{_shown(one.bpb)} bits per byte, {_shown(one.loss)} nats per token, over {one.bpb.n} seeds"
        yield from (f"against {reference.label}: {compared(one, reference).sentence}" for reference in against)


def _shown(sample: Sample) -> str:
    return f"{sample.mean:.6f}" + ("" if sample.std is None else f" ± {sample.std:.6f}")


def _verify_run(folder: Path, texts: Sequence[Path], certify: str | None, cache_dir: Path | None) -> Judged:
    claim = _claim(folder)
    cfg = _settings(folder, certify, cache_dir)
    loaded = container.read(folder / "artifact.pgolf")
    script = _script(folder)
    documents = [read_text(path) for path in _files(texts)] if texts else None
    with Console() as console:
        recorder = Rescore(cfg, console, own_settings=True)
        recorder.tell("verify", f"{folder}: {claim['scores']['final']['val_bpb']:.6f} bits per byte is its claim")
        total, cap = claim["artifact"]["bytes_total"], cfg["budget"]["cap_bytes"]
        recorder.tell("bytes", f"{total:,} of {cap:,} are claimed, under budget={cfg['budget']['name']}")
        for difference in budget_differences(cfg["budget"]):
            recorder.tell("budget", difference)
        problems = list(_byte_problems(claim, folder, loaded, script, cfg))
        terms = terms_from(loaded, device=str(recorder.device))
        text: stages.Scored
        if documents is None:
            text = stages.prepare(recorder, recipe=FixedTokenizer(terms.tokenizer), trains=False)
        else:
            text = GivenText(terms.tokenizer, documents)
        final = stages.score_final(recorder, text, folder / "artifact.pgolf", ScriptSource(script), terms)
        certificate = stages.certify_final(recorder, final, loaded.sha256, documents=documents)
        console.summary(recorder.result(str(folder)), None, certificate, None)
        problems += _score_problems(claim, final.score)
        problems += _certificate_problems(claim, certificate)
        problems += _time_problems(claim, cfg)
        problems += choice_problems(cfg, conf_dir())
        problems += [f"certificate: {failed}" for failed in certificate.failed]
        for problem in problems:
            recorder.tell("differs", problem)
        late = stages.over_time(cfg, final.score)
        found = f"{final.score.val_bpb:.6f} bits per byte of {final.score.bytes:,} bytes on this machine"
        recorder.tell("verdict", f"the claim {_in_words(bool(problems), late)}: {found}")
    late_status = OverBudget.exit_status if late else 0
    return Judged(CertificateError.exit_status if problems else late_status, final.score)


def _in_words(wrong: bool, late: str) -> str:
    if wrong:
        return "does not stand"
    return "stands as a code length, and was over time here, as on a slower machine it may be" if late else "stands"


def _claim(folder: Path) -> dict[str, Any]:
    """Raises RunError for a folder that claims nothing."""
    claim = read_result(folder)
    entry_of(folder, claim, "")  # whatever is read of it below is there, and of its kind
    fields = Fields(folder, claim)
    for probe in fields.at("certificate.probes") if claim["certificate"] else ():
        if not isinstance(probe, Mapping) or not {"letter", "passed"} <= probe.keys():
            raise RunError(f"{folder}: half a result: certificate.probes holds what is no probe")
    if (
        not claim["scores"].get("final")
        or not claim["artifact"]
        or not claim["scores"]["final"]["valid"]
        or not claim["certificate"]
    ):
        raise RunError(f"{folder}: claims no valid final score; it ended as {claim['status']!r}")
    if not isinstance(claim["scores"]["final"]["val_bpb"], float | int):
        raise RunError(f"{folder}: claims no number: val_bpb is {claim['scores']['final']['val_bpb']!r}")
    return claim


def _settings(folder: Path, certify: str | None, cache_dir: Path | None) -> dict[str, Any]:
    """The run's, on this machine. Raises ConfigError for less proof than the run's own certificate has.

    A claim under a budget's name is held to the proof that the shipped budget of that name asks for.
    """
    cfg = with_defaults(read_config(folder / "config.yaml"))
    asked = [str(cfg.get("certify"))]
    if asked[0] not in CERTIFY_ORDER:
        raise RunError(f"{folder / 'config.yaml'}: no profile of a certificate; another version of pgolf wrote it")
    if not isinstance(cfg.get("budget"), Mapping) or not {"name", "subset_tokens"} <= cfg["budget"].keys():
        raise RunError(f"{folder / 'config.yaml'}: no budget; a claim is one under a budget")
    if cfg["budget"]["subset_tokens"] is None:
        asked.append(node("budget", cfg["budget"]["name"])["certify"])
    own = max(asked, key=CERTIFY_ORDER.index)
    if certify is not None and CERTIFY_ORDER.index(certify) < CERTIFY_ORDER.index(own):
        raise ConfigError(f"--certify: {certify} proves less than {own}, which the record claims")
    cfg |= {"certify": certify or own, "device": "auto", "cache_dir": str(cache_dir or ".cache"), "eval_ranks": 1}
    try:
        check(cfg, trains=False)
    except ConfigError as error:  # how it was trained is not judged, and another version may have trained otherwise
        read = [problem for problem in error.problems if re.split(r"[.:/]", problem)[0] in _READ]
        if read:
            raise ConfigError(read) from error
    return cfg


def _script(folder: Path) -> bytes:
    try:
        return (folder / SCRIPT_NAME).read_bytes()
    except OSError as error:
        raise RunError(
            f"{folder / SCRIPT_NAME}: {error.strerror or error}; a claim without its code is none"
        ) from error


def _files(texts: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in texts:
        found = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not found:
            raise DataError(f"{path}: a folder without .txt files")
        files += found
    return files


def _byte_problems(
    claim: Mapping[str, Any], folder: Path, loaded: Loaded, script: bytes, cfg: Mapping[str, Any]
) -> Iterator[str]:
    claimed, budget = claim["artifact"], cfg["budget"]
    found = count(folder / "artifact.pgolf", loaded, script, budget)
    for name, value in (
        ("sha256", found.sha256),
        ("code_sha256", found.code_sha256),
        ("bytes_code", found.bytes_code),
        ("bytes_total", found.bytes_total),
        ("cap_bytes", found.cap_bytes),
    ):
        if claimed.get(name) != value:
            yield f"artifact.{name}: {claimed.get(name)} is claimed, {value} found"
    if found.bytes_total > found.cap_bytes:
        yield f"artifact: {found.bytes_total:,} bytes are over the cap of {found.cap_bytes:,}"


def _score_problems(claim: Mapping[str, Any], score: Any) -> Iterator[str]:
    claimed = claim["scores"]["final"]
    for name in ("tokens", "bytes", "metric", "split", "subset", "window", "stride"):
        if claimed[name] != getattr(score, name):
            yield f"final.{name}: {claimed[name]} is claimed, {getattr(score, name)} found"
    if claimed["method"] not in (score.method, score.method.partition("+")[0]):  # the eval option alone: older records
        yield f"final.method: {claimed['method']} is claimed, {score.method} found"
    if claimed["side_bits"] != score.side_bits:
        yield f"final.side_bits: {claimed['side_bits']} are claimed, {score.side_bits} found"
    apart = disagreement(claimed)
    if apart:
        yield f"final.val_loss: {apart}"
    if not abs(score.val_bpb - claimed["val_bpb"]) <= TOLERANCE_BPB:
        yield f"final.val_bpb: {claimed['val_bpb']:.6f} is claimed, {score.val_bpb:.6f} found"


def _certificate_problems(claim: Mapping[str, Any], found: Certificate) -> Iterator[str]:
    claimed = claim["certificate"]
    for name, value in (("passed", True), ("track", found.track), ("profile", found.profile)):
        if claimed.get(name) != value:
            yield f"certificate.{name}: {claimed.get(name)} is claimed, {value} found"
    passed = {probe["letter"] for probe in claimed["probes"] if probe["passed"]}
    missing = [probe.letter for probe in found.probes if probe.letter not in passed]
    if missing:
        yield f"certificate.probes: {', '.join(missing)} did not pass by the claim, or were not asked"


def _time_problems(claim: Mapping[str, Any], cfg: Mapping[str, Any]) -> Iterator[str]:
    """The claim's own seconds, against the budget of its config; weights of another run were trained in that one's."""
    own = {**claim, "budget": cfg["budget"]}
    limits = ["eval_seconds"]
    if claim["train"] and "train" in claim["ledger"] and cfg["budget"]["train_steps"] is None:
        limits.append("train_seconds")
    for limit, claimed in zip(limits, (claim["scores"]["final"], claim["train"]), strict=False):
        if not within(own, limit):
            yield f"{limit}: {claimed['seconds']:,.1f} s are claimed, {cfg['budget'][limit]:g} allowed"
