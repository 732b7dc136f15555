"""The closing summary of a run: one readable page, at most 100 columns wide."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from rich.text import Text

from pgolf.core.command import read_overrides
from pgolf.core.results import Artifact, Certificate, ProbeResult
from pgolf.track.ledger import CHARGED_TO, stage_of, stages_alone, within
from pgolf.track.meter import LEVEL, course, meter
from pgolf.track.result import COMPLETE
from pgolf.track.tabular import columns, wrapped
from pgolf.track.words import count, duration, short

_STATUS_STYLE = {"finished": "bold green"} | dict.fromkeys(("over_cap", "over_time", "certificate_failed"), "bold red")
_SCORE_LABELS = {
    "prequant": "before quantization",
    "roundtrip": "after quantization",
    "dev": "as composed",
    "final": "final",
}
_SPLITS = {"val": "validation"}
_MOST_TRACES, _COURSE_WIDTH = 12, 32
# What eval.py needs to be told of a run's words; the rest is in the artifact.
_TEXT_WORDS = ("data", "budget", "certify", "size", "cache_dir")


def summary_lines(
    result: Mapping[str, Any],
    artifact: Artifact | None,
    certificate: Certificate | None,
    folder: Path | None,
    width: int,
    unicode: bool,
) -> list[Text]:
    """The lines of the summary. ``result`` is what result.json holds; stages not reached leave their part out."""
    parts = [
        _scores(result["scores"], width),
        _artifact(artifact, width, unicode),
        _time(result),
        _traces(result["scores"].get("final"), unicode),
        _certificate(certificate, width),
        _files(result, artifact, folder, width),
    ]
    lines = _title(result, width, unicode)
    for part in parts:
        if part:
            lines += [Text(), *part]
    return [*lines, _rule(width, unicode)]


def _rule(width: int, unicode: bool) -> Text:
    return Text(("─" if unicode else "-") * width, style="dim")


def _title(result: Mapping[str, Any], width: int, unicode: bool) -> list[Text]:
    run, status = result["run"], result["status"]
    rerun = "" if run["rerun"] == 1 else f", rerun {run['rerun']}"
    name = Text(run["name"], style="bold")
    if run["seed"] is not None:  # an artifact that is scored again does not say
        name.append(f"   seed {run['seed']}{rerun}", style="not bold")
    verdict = Text(status.replace("_", " "), style=_STATUS_STYLE.get(status, "bold yellow"))
    if _is_subset(result["scores"]):
        verdict.append("   subset", style="bold yellow")
    gap = width - name.cell_len - verdict.cell_len
    lines = [_rule(width, unicode)]
    if gap >= 3:
        lines.append(Text.assemble(name, " " * gap, verdict))
    else:
        lines += [name, verdict]
    lines += [Text(line) for line in wrap(result["reason"], width, break_on_hyphens=False)]
    if _is_subset(result["scores"]):
        lines.append(Text("Scored on a declared subset only: shows that the pipeline works, not a result."))
    return lines


def _is_subset(scores: Mapping[str, Any]) -> bool:
    return any(score and score["subset"] for score in scores.values())


def _scores(scores: Mapping[str, Any], width: int) -> list[Text]:
    rows: list[list[object]] = []
    methods = ["method"]
    for name, label in _SCORE_LABELS.items():
        score = scores.get(name)
        if score is None:
            continue
        strong = "bold" if name == "final" else ""
        rows.append(
            [
                Text(label, style=strong),
                Text(_bpb(score["val_bpb"]), style=strong),
                _change(name, scores),
                _split(score),
                count(score["tokens"]),
                count(score["bytes"]),
            ]
        )
        methods.append(_method(score) + ("" if score["valid"] or name != "final" else ", not valid"))
    if not rows:
        return []
    lines = wrapped(columns(rows, ["", "bpb", "change", "split", "tokens", "bytes"], gap=2), methods, width, gap=2)
    lines[0].stylize("dim")
    heading = Text("bits per byte", style="bold")
    if scores.get("final"):
        loss, metric = scores["final"]["val_loss"], scores["final"]["metric"]
        shown = "not a number" if loss is None else f"{loss:.4f} nats per token"
        heading.append(f"   {metric} bytes; final {shown}", style="not bold dim")
    return [heading, *lines]


def _bpb(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"


def _change(name: str, scores: Mapping[str, Any]) -> str:
    before, after = scores.get("prequant"), scores.get("roundtrip")
    if name != "roundtrip" or not before or not after or None in (before["val_bpb"], after["val_bpb"]):
        return ""
    return f"{after['val_bpb'] - before['val_bpb']:+.4f}"


def _split(score: Mapping[str, Any]) -> str:
    return f"{score['split']} subset" if score["subset"] else _SPLITS.get(score["split"], score["split"])


def _method(score: Mapping[str, Any]) -> str:
    stride = "" if score["stride"] == score["window"] else f"/{score['stride']}"
    return f"{score['method'].replace('_', '-')} {score['window']}{stride}"


def _artifact(artifact: Artifact | None, width: int, unicode: bool) -> list[Text]:
    if artifact is None:
        return []
    share = artifact.bytes_total / artifact.cap_bytes
    heading = Text("artifact", style="bold")
    heading.append(
        f"   {count(artifact.bytes_total)} of {count(artifact.cap_bytes)} bytes, {100 * share:.1f} %   ",
        style="not bold",
    )
    heading.append_text(meter(min(share, 1.0), 30, unicode, style="red" if artifact.over_by else "cyan"))
    by_size = sorted(artifact.bytes_by_role.items(), key=lambda item: -item[1])
    if artifact.over_by:
        rest: list[object] = [Text("over", style="bold red"), Text(count(artifact.over_by), style="bold red")]
    else:
        rest = ["left", count(artifact.cap_bytes - artifact.bytes_total)]
    packed: list[list[object]] = [["packed", count(artifact.bytes_packed)]] if artifact.bytes_packed else []
    rows: list[list[object]] = [
        ["weights", count(artifact.bytes_weights)],
        *packed,
        ["code", count(artifact.bytes_code)],
        ["tokenizer", count(artifact.bytes_tokenizer)],
        rest,
    ]
    notes = [
        ", ".join(f"{role} {count(size)}" for role, size in by_size if role not in ("tokenizer", "packed")),
        *(["counts of training text"] if packed else []),
        artifact.code_label,
        "" if artifact.counts_tokenizer else "not counted",
        "",
    ]
    return [heading, *wrapped(columns(rows), notes, width)]


def _time(result: Mapping[str, Any]) -> list[Text]:
    ledger, budget, train = result["ledger"], result["budget"], result["train"]
    if not ledger:
        return []
    rows: list[list[object]] = []
    for stage, seconds in ledger.items():
        if stage_of(stage, ledger) != stage:
            rows.append([f"  {stage.partition('/')[2]}", f"{seconds:.1f}", "", ""])
            continue
        limit = CHARGED_TO.get(stage, "")
        allowed = budget.get(limit)
        over = allowed is not None and not within(result, limit)
        facts = _training(train) if stage == "train" and train else ""
        if stage == "calibrate" and train:
            facts = f"{train['seconds'] + seconds:.1f} with training"
        note = Text.assemble(("over the budget   ", "bold red"), facts) if over else Text(facts)
        shown = "" if allowed is None else f"{float(allowed):.1f}"
        rows.append([stage, f"{seconds:.1f}", shown, note])
    total = sum(stages_alone(ledger).values())
    rows.append(["total", f"{total:.1f}", "", duration(total)])
    heading = Text("seconds", style="bold")
    if budget.get("name"):
        heading.append(f"   budget {budget['name']}", style="not bold dim")
    return [heading, *columns(rows, ["", "used", "allowed", ""])]


def _traces(score: Mapping[str, Any] | None, unicode: bool) -> list[Text]:
    """What mixer and experts went by, each with its course over the stream, from its least to its largest part."""
    traces = score["traces"] if score else []
    if not traces:
        return []
    rows: list[list[object]] = [
        [
            trace["name"],
            *_numbers(*(trace[what] for what in ("mean", "deviation", "least", "largest"))),
            course(trace["curve"], _COURSE_WIDTH, unicode),
        ]
        for trace in traces[:_MOST_TRACES]
    ]
    heading = Text("mixing and counts", style="bold")
    if len(traces) > _MOST_TRACES:
        heading.append(f"   {len(traces) - _MOST_TRACES} more in result.json", style="not bold dim")
    return [heading, *columns(rows, ["", "mean", "deviation", "least", "largest", "over the stream"], gap=2)]


def _numbers(*values: float) -> list[str]:
    """What is no more than the rounding of the largest is none."""
    level = LEVEL * max(map(abs, values))
    return [short(value if abs(value) > level else 0.0, 3) for value in values]


def _training(train: Mapping[str, Any]) -> str:
    return (
        f"{count(train['steps'])} steps of {train['ms_per_step']:.0f} ms, {count(train['tokens'])} tokens, "
        f"{count(train['tokens_per_second'])} tokens/s"
    )


def _certificate(certificate: Certificate | None, width: int) -> list[Text]:
    if certificate is None:
        return []
    heading = Text("certificate", style="bold")
    heading.append("   ")
    heading.append_text(_verdict(certificate.passed))
    heading.append(
        f"   track {certificate.track}, profile {certificate.profile}; isolation: {certificate.isolation}",
        style="not bold dim",
    )
    rows = [[f"({p.letter})", p.name, _verdict(p.passed), f"{p.seconds:.1f} s"] for p in certificate.probes]
    evidence = [_evidence(probe) for probe in certificate.probes]
    return [heading, *wrapped(columns(rows, gap=2), evidence, width, gap=2)]


def _verdict(passed: bool) -> Text:
    return Text("passed", style="green") if passed else Text("failed", style="bold red")


def _evidence(probe: ProbeResult) -> str:
    if probe.message:
        return probe.message
    return ", ".join(f"{name.replace('_', ' ')} {_measured(value)}" for name, value in probe.measured.items())


def _measured(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return count(value) if isinstance(value, int) else short(value)


def _files(result: Mapping[str, Any], artifact: Artifact | None, folder: Path | None, width: int) -> list[Text]:
    if folder is None:
        return []
    heading = Text("files", style="bold")
    heading.append(f"   {folder}", style="not bold")
    try:
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    except OSError:
        names = []
    shown = wrap("  ".join(name for name in names if not name.startswith(".")), width - 2, break_on_hyphens=False)
    lines = [heading, *(Text(f"  {names}") for names in shown)]
    if artifact is not None and artifact.path.exists():
        lines.append(Text(f"  sha256 {artifact.sha256}"))
        if result["status"] in COMPLETE:
            lines += _score_again(artifact, _words(folder, result["run"]["command"]), width)
    return lines


def _words(folder: Path, command: str) -> list[str]:
    """The words of the run: of its folder, since a requantized run's command names its parent instead."""
    try:
        return read_overrides(folder)
    except (OSError, ValueError):
        return shlex.split(command)


def _score_again(artifact: Artifact, words: Sequence[str], width: int) -> list[Text]:
    """The command that scores the artifact on the same text, broken as a shell allows where it is too long."""
    words = [word for word in words if _is_about_text(word)]
    start = f"  score it again: python eval.py {shlex.quote(f'artifact={artifact.path}')}"
    rest = shlex.join(words)
    if not rest or len(start) + 1 + len(rest) <= width:
        return [Text(f"{start} {rest}".rstrip())]
    return [Text(f"{start} \\"), Text(f"    {rest}")]


def _is_about_text(word: str) -> bool:
    key, equals, _ = word.lstrip("+~").partition("=")
    return bool(equals) and key.partition(".")[0] in _TEXT_WORDS
