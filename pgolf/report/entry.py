"""One run as a report sees it, ours or somebody's published log: what it measured, and why its score does not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError
from pgolf.report.agreement import disagreement
from pgolf.track.ledger import spent, within
from pgolf.track.result import COMPLETE, SCORE_NAMES

_TOO_LARGE = 2**63
SUM_TOLERANCE = 1e-4  # that a row of probabilities may sum to more than one (the certificate's probe a has 1e-5)


@dataclass(frozen=True, slots=True)
class ScoredText:
    """On what a score was made; only scores of the same are averaged. ``data``: the option, "" where not known."""

    data: str
    split: str
    metric: str
    bytes: int
    tokens: int
    method: str

    @property
    def text(self) -> tuple[str, str, int]:
        """What must be equal for bits per byte to be comparable."""
        return self.split, self.metric, self.bytes

    def __str__(self) -> str:
        name = {"val": "validation"}.get(self.split, self.split)
        return f"{self.data or 'unknown data'}, {name}: {self.tokens:,} tokens, {self.bytes:,} {self.metric} bytes"


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """``source``: folder or file. ``name``, ``key``: whose mean it may be part of, and what tells configs of one name
    apart. None is not known. ``excluded``: why the score does not count, "" where it does; ``notes``: what else a
    reader must know. ``claimed_bpb``: without what a decoder must be told besides.
    ``claimed``: a published number that nobody has proved here.
    """

    source: Path
    name: str
    key: str
    seed: int | None
    rerun: int = 1
    steps: int | None = None
    ms_per_step: float | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    prequant_bpb: float | None = None
    quantized_bpb: float | None = None
    val_bpb: float | None = None
    val_loss: float | None = None
    claimed_bpb: float | None = None
    sum_p_mean: float | None = None
    sum_p_max: float | None = None
    renormalised_bpb: float | None = None
    bytes_total: int | None = None
    cap_bytes: int | None = None
    sha256: str = ""
    certificate: str = ""
    isolation: str = ""
    scored: ScoredText | None = None
    bytes_per_token: float | None = None
    claimed: bool = False
    excluded: str = ""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``seed 1``, ``seed 1, rerun 2``."""
        seed = "no seed" if self.seed is None else f"seed {self.seed}"
        return seed if self.rerun == 1 else f"{seed}, rerun {self.rerun}"

    @property
    def identity(self) -> tuple[int | None, int, str]:
        """What tells runs of one config apart, wherever they lie."""
        return self.seed, self.rerun, self.sha256

    def without(self, reason: str) -> ReportedRun:
        """The same, not counted."""
        return replace(self, excluded=reason)


def entry_of(folder: Path, result: Mapping[str, Any], data: str, which: str = "final") -> ReportedRun:
    """The entry of a run's result.json; ``which`` of its scores it is about. Raises RunError for half a result."""
    assert which in SCORE_NAMES, which
    fields = Fields(folder, result)
    score = fields.mapping(f"scores.{which}")
    artifact, train = fields.mapping("artifact"), fields.mapping("train")
    ledger = fields.mapping("ledger") or {}
    scored = None
    if score is not None:
        split, metric, method = (fields.text(f"scores.{which}.{name}") for name in ("split", "metric", "method"))
        counted_bytes, tokens = (fields.whole(f"scores.{which}.{name}") for name in ("bytes", "tokens"))
        scored = ScoredText(data, split, metric, counted_bytes, tokens, method)
    seconds = fields.number("train.seconds") if train else None
    calibrate = fields.number("ledger.calibrate") if "calibrate" in ledger else None
    entry = ReportedRun(
        source=folder,
        name=fields.text("run.name"),
        key=fields.text("run.config_hash"),
        seed=fields.whole("run.seed"),
        rerun=fields.whole("run.rerun"),
        steps=fields.whole("train.steps") if train else None,
        ms_per_step=fields.number("train.ms_per_step") if train else None,
        train_seconds=None if seconds is None else seconds + (calibrate or 0.0),
        eval_seconds=fields.number(f"scores.{which}.seconds") if score else None,
        prequant_bpb=_bpb(fields, "prequant"),
        quantized_bpb=_bpb(fields, "roundtrip"),
        val_bpb=_bpb(fields, which),
        val_loss=fields.number(f"scores.{which}.val_loss") if score else None,
        claimed_bpb=fields.number(f"scores.{which}.claimed_bpb") if score else None,
        sum_p_mean=fields.number(f"scores.{which}.sum_p_mean") if score else None,
        sum_p_max=fields.number(f"scores.{which}.sum_p_max") if score else None,
        renormalised_bpb=fields.number(f"scores.{which}.renormalised_bpb") if score else None,
        bytes_total=fields.whole("artifact.bytes_total") if artifact else None,
        cap_bytes=fields.whole("artifact.cap_bytes") if artifact else None,
        sha256=fields.text("artifact.sha256") if artifact else "",
        certificate=_certificate(fields),
        isolation=fields.text("certificate.isolation") if fields.mapping("certificate") is not None else "",
        scored=scored,
        bytes_per_token=scored.bytes / scored.tokens if scored and scored.tokens else None,
    )
    notes = tuple(_notes(fields, which))
    return replace(entry, notes=notes, excluded=_why_not(fields, entry, which))


class Fields:
    """Typed access to a result by dotted key; what is not as it should be is named."""

    def __init__(self, folder: Path, result: Mapping[str, Any]) -> None:
        self.folder, self.result = folder, result

    def at(self, dotted: str) -> Any:
        node: Any = self.result
        for key in dotted.split("."):
            if not isinstance(node, Mapping) or key not in node:
                raise RunError(f"{self.folder}: half a result: {dotted} is not in it")
            node = node[key]
        return node

    def mapping(self, dotted: str) -> Mapping[str, Any] | None:
        return self._of(dotted, (Mapping, type(None)), "a mapping or null")

    def text(self, dotted: str) -> str:
        return self._of(dotted, (str,), "text")

    def whole(self, dotted: str) -> int:
        value = self._of(dotted, (int,), "a whole number")
        if not 0 <= value < _TOO_LARGE:
            raise RunError(f"{self.folder}: half a result: {dotted} is out of range")
        return value

    def flag(self, dotted: str) -> bool:
        value = self.at(dotted)
        if not isinstance(value, bool):
            raise RunError(f"{self.folder}: half a result: {dotted} is {value!r}, not true or false")
        return value

    def number(self, dotted: str) -> float | None:
        """None for null, which stands for what is no finite number, and for what nothing can measure."""
        value = self._of(dotted, (int, float, type(None)), "a number")
        return float(value) if value is not None and abs(value) < _TOO_LARGE else None

    def _of(self, dotted: str, types: tuple[type, ...], what: str) -> Any:
        value = self.at(dotted)
        if not isinstance(value, types) or isinstance(value, bool):
            raise RunError(f"{self.folder}: half a result: {dotted} is {value!r}, not {what}")
        return value


def _bpb(fields: Fields, which: str) -> float | None:
    return fields.number(f"scores.{which}.val_bpb") if fields.mapping(f"scores.{which}") else None


def _certificate(fields: Fields) -> str:
    if fields.mapping("certificate") is None:
        return ""
    return "passed" if fields.flag("certificate.passed") else "failed"


def _why_not(fields: Fields, entry: ReportedRun, which: str) -> str:
    """Why the score is none to count; by what the result says of itself, whatever it calls the score."""
    status, reason = fields.text("status"), fields.text("reason")
    told = status.replace("_", " ") + (f": {reason}" if reason else "")
    if status != "finished":
        return told if status in COMPLETE else f"ended as {told}"
    if entry.scored is None:
        return f"has no {which} score"
    if not entry.val_bpb or not entry.val_loss or min(entry.val_bpb, entry.val_loss, entry.scored.bytes) <= 0:
        return f"its {which} score is no number above 0"
    apart = disagreement(fields.mapping(f"scores.{which}") or {})
    if apart:
        return f"the numbers of its {which} score are not of one code length: {apart}"
    if fields.flag(f"scores.{which}.subset"):
        return "scored on a declared subset of the text"
    if entry.bytes_total is None or entry.cap_bytes is None:
        if which != "prequant":  # float weights need none
            return "has no artifact"
    elif entry.bytes_total > entry.cap_bytes:
        return f"{entry.bytes_total - entry.cap_bytes:,} bytes over the cap of {entry.cap_bytes:,}"
    if entry.sum_p_max is not None and entry.sum_p_max > 1 + SUM_TOLERANCE:
        return f"no code length: its rows sum to as much as {entry.sum_p_max:.4g}"
    if which != "final":
        return ""
    if not entry.certificate:
        return "has no certificate"
    if entry.certificate != "passed":
        return "its certificate failed"
    if not fields.flag("scores.final.valid"):
        return "its score is marked as not valid"
    if entry.eval_seconds is None:
        return "its evaluation states no seconds"
    if not _in_time(fields, "eval_seconds"):
        return f"evaluation took {entry.eval_seconds:,.1f} s of {fields.result['budget']['eval_seconds']:g} allowed"
    return ""


def _in_time(fields: Fields, limit: str) -> bool:
    try:
        return within(fields.result, limit)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise RunError(
            f"{fields.folder}: half a result: its seconds and its budget do not compare ({error})"
        ) from error


def _anomalies(fields: Fields) -> Iterator[str]:
    """An older result has none."""
    found = fields.result.get("anomalies") or []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) and "text" in one for one in found):
        raise RunError(f"{fields.folder}: half a result: anomalies is not a list of what was odd in training")
    if found:
        yield f"odd in training: {found[0]['text']}" + (f"; and {len(found) - 1} more" if len(found) > 1 else "")


def _notes(fields: Fields, which: str) -> Iterator[str]:
    yield from _anomalies(fields)
    train, budget, ledger = fields.result["train"], fields.mapping("budget") or {}, fields.mapping("ledger") or {}
    if train and not _in_time(fields, "train_seconds"):
        took = spent({**ledger, "train": train["seconds"]}, "train_seconds")
        fixed = "; the number of its steps was fixed" if budget.get("train_steps") else ""
        yield f"training took {took:,.1f} s of {budget['train_seconds']:g} allowed{fixed}"
    if "audit hook" in ((fields.result["certificate"] or {}).get("isolation") or "") and which == "final":
        yield "no kernel kept its processes apart (audit hook only)"
