"""The text logs of published records, of both families, as entries: what they claim, never more.

Read line by line, each from its first column and with digits where numbers stand: logs begin with the source of the
script that wrote them, format strings included. Which line holds the claim differs from record to record (``CLAIMS``);
beside it stand scores of the same model without what the record is about, some in the claim's own line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError
from pgolf.report.entry import ReportedRun

CAP_BYTES, TRAIN_SECONDS, EVAL_SECONDS = 16_000_000, 600.0, 600.0  # of the challenge

# Labels of the lines that records claim by, the furthest first: a log may hold several.
CLAIMS = (
    *("quantized_ttt_phased", "quantized_ttt_lora", "quantized_ttt"),
    *("online_best_agree_sliding_window", "ngram_cache", "final_ngram", "legal_ttt", "final_int6_ttt"),
    *("final_int6_sliding_window_ngram5", "final_krause_eval", "final_ttt_lora", "final_int8_ttt_lora"),
    *("final_sliding_window", "final_int6_sliding_window", "quantized_sliding_window"),
    *("final_int6_roundtrip", "final_int8_zlib_roundtrip", "quantized"),
)
_ROUND_TRIPS = ("final_int6_roundtrip", "quantized", "final_int8_zlib_roundtrip")
_SAME_PROPORTION = 5e-4  # relative, of nats per token to bits per byte: both have four decimals in mid-training

_N = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_LINES: Mapping[str, re.Pattern[str]] = {
    "val_step": re.compile(
        rf"(?:step:)?(?P<step>\d+)/\d+ val_loss: ?(?P<loss>{_N}) val_bpb: ?(?P<bpb>{_N})"
        rf"(?: train_time:(?P<train_ms>\d+)ms step_avg:(?P<step_ms>{_N})ms)?"
    ),
    "train_step": re.compile(rf"(?:step:)?(?P<step>\d+)/\d+ train_loss: ?{_N} train_time: ?{_N}m.*"),
    "stopped": re.compile(r"stopping_early: \w+ train_time: ?(?P<train_ms>\d+)ms step: ?(?P<step>\d+)/\d+"),
    "total": re.compile(r"Total submission size (?P<how>\S+): (?P<bytes>\d+)(?: bytes)?"),
    "seed": re.compile(r"(?:  )?seed: ?(?P<seed>\d+)"),
    "params": re.compile(r"(?:  )?model_params: ?(?P<params>\d+)"),
    "tokens": re.compile(r"(?:val_tokens: (?P<tokens>[\d,]+)|val_loader:shards pattern=\S+ tokens:(?P<loader>\d+))"),
    "wallclock": re.compile(rf"wallclock:\w+ total_elapsed:(?P<seconds>{_N})s .*"),
    "calibrated": re.compile(rf"gptq:\w+ .*\bin (?P<seconds>{_N})s"),
    "evaluated": re.compile(rf"total_eval_time:(?P<seconds>{_N})s"),
    "counts": re.compile(
        r"\s*(?:expert_logit\[\w*gram\w*\]: mean=-?\d.*|ngram_\w+: ?\d.*|ngram_\w+:\w+ \w+=\d.*|ngram_\w+ chunk:\d.*)"
    ),
}
_RESULT = re.compile(r"(?P<label>[A-Za-z][\w-]*(?: [\w-]+){0,3}) (?P<pairs>\w+:\d[\w.+-]*(?: \w+:\d[\w.+-]*)*)")
_PAIR = re.compile(rf"(\w+):({_N})(?:ms|s)?")
_SEED_IN_NAME = re.compile(r"seed[_=-]?(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class _Log:
    """What the lines say; of results, by label, every set of numbers in turn."""

    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    results: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    steps: int | None = None


def read_log(path: Path) -> ReportedRun:
    """One log as an entry; without a claim, one that does not count. Raises RunError where it is no text."""
    log = _parsed(_text(path))
    label = next((label for label in CLAIMS if label in log.results), "")
    facts, notes = log.facts, list[str]()
    seed = _seed(path, facts, notes)
    params = facts.get("params", {}).get("params", "?")
    entry = ReportedRun(
        path, path.resolve().parent.name or path.stem, f"{label} {params} parameters", seed, claimed=True
    )
    total = facts.get("total", {}).get("bytes")
    train = _train_seconds(facts)
    steps = log.steps
    fields: dict[str, Any] = {
        "steps": steps,
        "ms_per_step": _step_ms(facts, steps),
        "train_seconds": train,
        "prequant_bpb": _bpb(log, "pre-quantization post-ema", "DIAGNOSTIC post_ema")
        or _float(facts, "val_step", "bpb"),
        "quantized_bpb": _round_trip(log, label),
        "bytes_total": int(total) if total else None,
        "cap_bytes": CAP_BYTES,
    }
    if not label:
        return _with(entry, fields, _why_no_claim(log), notes)
    claim = _last(log.results[label], label, notes)
    bpb, loss = _claimed(claim, facts, label, notes)
    eval_ms = claim.get("eval_time")
    evaluated = eval_ms / 1000 if eval_ms is not None else _float(facts, "evaluated", "seconds")
    fields |= {"val_bpb": bpb, "val_loss": loss, "eval_seconds": evaluated}
    fields["bytes_per_token"] = loss / (math.log(2) * bpb) if loss else None
    notes += _notes(label, facts, claim, train, evaluated, fields["bytes_total"])
    over = fields["bytes_total"] is not None and fields["bytes_total"] > CAP_BYTES
    return _with(
        entry, fields, f"{fields['bytes_total'] - CAP_BYTES:,} bytes over the cap, as logged" if over else "", notes
    )


def _with(entry: ReportedRun, fields: Mapping[str, Any], excluded: str, notes: list[str]) -> ReportedRun:
    return replace(entry, **fields, excluded=excluded, notes=tuple(dict.fromkeys(notes)))


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not raw.strip():
        raise RunError(f"{path}: empty")
    if b"\0" in raw:
        raise RunError(f"{path}: no text, so no log")
    return raw.decode("utf-8", "replace")


def _parsed(text: str) -> _Log:
    log = _Log()
    for line in text.splitlines():
        line = line.rstrip()
        for kind, pattern in _LINES.items():
            match = pattern.fullmatch(line)
            if match is None:
                continue
            found = {key: value for key, value in match.groupdict().items() if value is not None}
            if "step" in found:
                log.steps = max(log.steps or 0, int(found["step"]))
            log.facts[kind] = found  # the last: sizes and scores are printed again as they become final
            break
        else:
            match = _RESULT.fullmatch(line)
            if match is not None:
                pairs = {key: float(value) for key, value in _PAIR.findall(match["pairs"])}
                if any(key.endswith("bpb") for key in pairs):
                    log.results.setdefault(_label(match["label"]), []).append(
                        pairs | {"exact": float(match["label"].endswith("_exact"))}
                    )
    return log


def _label(text: str) -> str:
    return text.removeprefix("diagnostic ").removesuffix("_exact")


def _last(found: list[dict[str, float]], label: str, notes: list[str]) -> dict[str, float]:
    """The last line of a label, the exact one where there is one; its time may stand in the rounded one."""
    exact = [one for one in found if one["exact"]] or found
    if len({one.get("val_bpb") for one in exact}) > 1:
        notes.append(f"{label} is printed with several scores; the last is taken")
    times = [one["eval_time"] for one in found if "eval_time" in one]
    return ({"eval_time": times[-1]} if times else {}) | exact[-1]


def _claimed(
    claim: Mapping[str, float], facts: Mapping[str, Mapping[str, str]], label: str, notes: list[str]
) -> tuple[float, float | None]:
    """Bits per byte of the claim, and nats per token where they are of the same score."""
    bpb, loss = claim.get("ngram_bpb", claim.get("val_bpb", math.nan)), claim.get("val_loss")
    if "ngram_bpb" in claim:
        notes.append(f"the network alone: {claim.get('val_bpb', math.nan):g}; its nats per token are not the claim's")
        return bpb, None
    if "sliding_bpb" in claim:
        notes.append(f"the network alone: {claim['sliding_bpb']:g}; its nats per token are not the claim's")
        return bpb, None
    step_loss, step_bpb = _float(facts, "val_step", "loss"), _float(facts, "val_step", "bpb")
    if loss and step_loss and step_bpb and abs(loss / bpb / (step_loss / step_bpb) - 1) > _SAME_PROPORTION:
        notes.append(f"the val_loss beside {label} is of another score: it does not stand to the claim as in training")
        return bpb, None
    return bpb, loss


def _notes(
    label: str,
    facts: Mapping[str, Mapping[str, str]],
    claim: Mapping[str, float],
    train: float | None,
    evaluated: float | None,
    total: int | None,
) -> Iterator[str]:
    yield f"claimed by the line {label}"
    if "counts" in facts or "ngram" in label or "ngram_bpb" in claim or "sliding_bpb" in claim:
        yield "mixes n-gram counts: no log shows that its rows sum to one, and most such claims do not"
    calibrated = _float(facts, "calibrated", "seconds")
    if calibrated is not None and "wallclock" not in facts:
        yield f"calibration took {calibrated:,.1f} s, which its training time does not say whether it holds"
    if train is not None and train > TRAIN_SECONDS + 1:
        yield f"training with calibration took {train:,.1f} s of {TRAIN_SECONDS:g}"
    if evaluated is not None and evaluated > EVAL_SECONDS:
        yield f"evaluation took {evaluated:,.1f} s of {EVAL_SECONDS:g}"
    if total is None:
        yield "states no size of the submission"


def _why_no_claim(log: _Log) -> str:
    others = ", ".join(log.results)
    if others:
        return f"no line that is known to hold a claim; it has {others}"
    if log.steps is not None:
        return f"ends at step {log.steps:,} without a result"
    return "no log of a known format: no steps, no results"


def _seed(path: Path, facts: Mapping[str, Mapping[str, str]], notes: list[str]) -> int | None:
    inside, outside = facts.get("seed", {}).get("seed"), _SEED_IN_NAME.search(path.name)
    if inside and outside and int(inside) != int(outside[1]):
        notes.append(f"the file is named after seed {outside[1]}, its lines say {inside}")
    return int(inside) if inside else int(outside[1]) if outside else None


def _train_seconds(facts: Mapping[str, Mapping[str, str]]) -> float | None:
    after = _float(facts, "wallclock", "seconds")
    milliseconds = _float(facts, "stopped", "train_ms") or _float(facts, "val_step", "train_ms")
    return after if after is not None else milliseconds / 1000 if milliseconds is not None else None


def _step_ms(facts: Mapping[str, Mapping[str, str]], steps: int | None) -> float | None:
    average = _float(facts, "val_step", "step_ms")
    milliseconds = _float(facts, "stopped", "train_ms")
    return average if average is not None else milliseconds / steps if milliseconds and steps else None


def _float(facts: Mapping[str, Mapping[str, str]], kind: str, name: str) -> float | None:
    text = facts.get(kind, {}).get(name)
    return float(text) if text is not None else None


def _bpb(log: _Log, *labels: str) -> float | None:
    return next((log.results[label][0].get("val_bpb") for label in labels if label in log.results), None)


def _round_trip(log: _Log, claim: str) -> float | None:
    """The score after quantization. ``final_int8_zlib_roundtrip`` is printed again with the claim where that is
    another: its first line alone can be it, and is not where it has the score of another label."""
    for label in _ROUND_TRIPS:
        if label not in log.results:
            continue
        value = _first_exact(log.results[label])
        others = {_first_exact(found) for other, found in log.results.items() if other not in (label, *_ROUND_TRIPS)}
        if label != "final_int8_zlib_roundtrip" or label == claim or value not in others:
            return value
    return None


def _first_exact(found: list[dict[str, float]]) -> float | None:
    return next((one for one in found if one["exact"]), found[0]).get("val_bpb")
