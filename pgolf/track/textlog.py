"""train.log: the lines that the tools around the public challenge parse, and a parser for them.

One table, ``LINES``, holds each kind of line once: the text it is made of and the pattern it is read back
with. A pattern matches a whole line from its first column and asks for digits where numbers stand, because
published logs begin with their own source code, which holds the format strings.
Units are in the names: ``_ms`` milliseconds, ``_s`` seconds, ``_mib`` mebibytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pgolf.core.errors import RunError

_WORD = r"[^\s{}'\"]+"
_PATTERNS = {"d": r"\d+", "f": r"-?(?:\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|nan|inf)", "s": _WORD}
_TYPES: dict[str, Callable[[str], Any]] = {"d": int, "f": float, "s": str}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One recognised line. ``line`` counts from 1; ``facts`` are the numbers and words in it, typed."""

    kind: str
    line: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Line:
    """``template`` in the syntax of ``str.format``; ``types`` says how each field is read back."""

    template: str
    types: dict[str, Callable[[str], Any]]
    pattern: re.Pattern[str]


def _line(template: str, tail: str = "") -> _Line:
    """``{name:d}`` is read back as a whole number, ``{name:.2f}`` as a number, ``{name}`` as a word.

    ``tail`` is a pattern that other programs' lines may go on with.
    """
    pattern, types = "", {}
    for piece in re.split(r"(\{\w+(?::[^}]*)?\})", template):
        field = re.fullmatch(r"\{(\w+)(?::([^}]*))?\}", piece)
        if field is None:
            pattern += re.escape(piece)
            continue
        name, spec = field[1], field[2] or "s"
        types[name] = _TYPES[spec[-1]]
        pattern += f"(?P<{name}>{_PATTERNS[spec[-1]]})"
    return _Line(template, types, re.compile(pattern + tail))


LINES: dict[str, _Line] = {
    "val_loader": _line("val_loader:shards pattern={pattern} tokens:{tokens:d}"),
    "train_loader": _line("train_loader:dataset:{dataset} train_shards:{train_shards:d}"),
    "model_params": _line("model_params:{params:d}"),
    "world_size": _line("world_size:{world_size:d} grad_accum_steps:{grad_accum_steps:d}"),
    "seed": _line("seed:{seed:d}"),
    "warmup_step": _line("warmup_step:{step:d}/{steps:d}"),
    "train_step": _line(
        "step:{step:d}/{steps:d} train_loss:{train_loss:.4f} train_time:{train_ms:.0f}ms step_avg:{step_avg_ms:.2f}ms"
    ),
    "val_step": _line(
        "step:{step:d}/{steps:d} val_loss:{val_loss:.4f} val_bpb:{val_bpb:.4f} "
        "train_time:{train_ms:.0f}ms step_avg:{step_avg_ms:.2f}ms"
    ),
    "stopping_early": _line("stopping_early: {reason} train_time:{train_ms:.0f}ms step:{step:d}/{steps:d}"),
    "peak_memory": _line("peak memory allocated: {allocated_mib:d} MiB reserved: {reserved_mib:d} MiB"),
    "post_ema": _line("DIAGNOSTIC post_ema val_loss:{val_loss:.4f} val_bpb:{val_bpb:.4f} eval_time:{eval_ms:.0f}ms"),
    "calibration": _line("{method}:done in {seconds:.1f}s"),
    "wallclock": _line("wallclock:{after} total_elapsed:{elapsed_s:.1f}s train_budget:{budget_s:.1f}s"),
    "serialized_model": _line("Serialized model {label}: {bytes:d} bytes", tail=r"(?: \(payload:.*\))?"),
    "artifact_hash": _line("artifact_sha256:{sha256}"),
    "code_size": _line("Code size: {bytes:d} bytes"),
    "submission_size": _line("Total submission size {label}: {bytes:d} bytes"),
    "final_exact": _line("{label}_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}"),
    "final_strided": _line(
        "{label} val_loss:{val_loss:.4f} val_bpb:{val_bpb:.4f} stride:{stride:d} eval_time:{eval_ms:.0f}ms"
    ),
    "final": _line("{label} val_loss:{val_loss:.4f} val_bpb:{val_bpb:.4f} eval_time:{eval_ms:.0f}ms"),
}

_SWITCH = re.compile(rf"(?P<name>[A-Za-z]\w*):(?P<event>[A-Za-z]\w*) step:(?P<step>\d+)(?P<rest>(?: {_WORD}:\S+)*)")
_RESULT_LABELS = re.compile(r"(?:final_|legal_)\w+")


def _format(kind: str, **facts: Any) -> str:
    return LINES[kind].template.format(**facts)


def _word(text: str) -> str:
    """One word of a log line: white space, quotes and braces would break it for its readers."""
    return re.sub(r"[\s{}'\"]+", "_", str(text)) or "_"


def val_loader(pattern: str, tokens: int) -> str:
    """Start: where the scored tokens come from."""
    return _format("val_loader", pattern=_word(pattern), tokens=tokens)


def train_loader(dataset: str, train_shards: int) -> str:
    """Start: what is trained on."""
    return _format("train_loader", dataset=_word(dataset), train_shards=train_shards)


def model_params(params: int) -> str:
    """Start."""
    return _format("model_params", params=params)


def world_size(world_size: int, grad_accum_steps: int) -> str:
    """Start."""
    return _format("world_size", world_size=world_size, grad_accum_steps=grad_accum_steps)


def seed(seed: int) -> str:
    """Start."""
    return _format("seed", seed=seed)


def warmup_step(step: int, steps: int) -> str:
    """Compile warm-up."""
    return _format("warmup_step", step=step, steps=steps)


def train_step(step: int, steps: int, train_loss: float, train_seconds: float) -> str:
    """The first ten steps and every so often. ``steps`` is the limit of steps, not a forecast."""
    milliseconds = 1000 * train_seconds
    facts = {"train_loss": train_loss, "train_ms": milliseconds, "step_avg_ms": milliseconds / max(step, 1)}
    return _format("train_step", step=step, steps=steps, **facts)


def val_step(step: int, steps: int, val_loss: float, val_bpb: float, train_seconds: float) -> str:
    """A validation during training."""
    milliseconds = 1000 * train_seconds
    facts = {"val_loss": val_loss, "val_bpb": val_bpb, "train_ms": milliseconds}
    return _format("val_step", step=step, steps=steps, step_avg_ms=milliseconds / max(step, 1), **facts)


def switch(name: str, event: str, step: int, **facts: Any) -> str:
    """A change in mid-training: ``recurrence:activated step:3000``, ``late_qat:enabled step:5772 scale:0.1498``."""
    rest = "".join(f" {key}:{_word(_short(value))}" for key, value in facts.items())
    return f"{name}:{event} step:{step}{rest}"


def stopping_early(reason: str, train_seconds: float, step: int, steps: int) -> str:
    """``reason`` is one word, ``wallclock_cap`` for the usual one."""
    return _format("stopping_early", reason=_word(reason), train_ms=1000 * train_seconds, step=step, steps=steps)


def peak_memory(allocated_bytes: int, reserved_bytes: int) -> str:
    """End of training."""
    return _format("peak_memory", allocated_mib=allocated_bytes >> 20, reserved_mib=reserved_bytes >> 20)


def post_ema(val_loss: float, val_bpb: float, eval_seconds: float) -> str:
    """The averaged weights, scored before quantization."""
    return _format("post_ema", val_loss=val_loss, val_bpb=val_bpb, eval_ms=1000 * eval_seconds)


def calibration(method: str, seconds: float) -> str:
    """``gptq:done in 239.9s``."""
    return _format("calibration", method=_word(method), seconds=seconds)


def wallclock(after: str, elapsed_seconds: float, budget_seconds: float) -> str:
    """``wallclock:post_gptq total_elapsed:856.2s train_budget:600.0s``."""
    return _format("wallclock", after=_word(after), elapsed_s=elapsed_seconds, budget_s=budget_seconds)


def serialized_model(label: str, artifact_bytes: int) -> str:
    """``label`` names grid and compressor: ``int6+brotli``."""
    return _format("serialized_model", label=_word(label), bytes=artifact_bytes)


def artifact_hash(sha256: str) -> str:
    """Export: the hash that is fixed before validation is opened."""
    return _format("artifact_hash", sha256=sha256)


def code_size(code_bytes: int) -> str:
    """Export."""
    return _format("code_size", bytes=code_bytes)


def submission_size(label: str, total_bytes: int) -> str:
    """Export: what the cap is held against."""
    return _format("submission_size", label=_word(label), bytes=total_bytes)


def roundtrip(label: str, val_loss: float, val_bpb: float, eval_seconds: float) -> tuple[str, str]:
    """``final_<label>_roundtrip`` rounded with its time, and ``…_exact``: the score after quantization."""
    return _final(f"final_{_word(label)}_roundtrip", val_loss, val_bpb, eval_seconds, None)


def sliding_window(label: str, val_loss: float, val_bpb: float, stride: int, eval_seconds: float) -> tuple[str, str]:
    """``final_<label>_sliding_window`` and ``…_exact``. Never printed a second time as the round trip."""
    return _final(f"final_{_word(label)}_sliding_window", val_loss, val_bpb, eval_seconds, stride)


def final_score(label: str, method: str, val_loss: float, val_bpb: float, eval_seconds: float) -> tuple[str, str]:
    """``final_<label>_<method>`` and ``…_exact`` for any other way of evaluating; a label has no ``+``."""
    return _final(f"final_{_word(label)}_{_word(method).replace('+', '_')}", val_loss, val_bpb, eval_seconds, None)


def _final(label: str, val_loss: float, val_bpb: float, eval_seconds: float, stride: int | None) -> tuple[str, str]:
    facts = {"label": label, "val_loss": val_loss, "val_bpb": val_bpb}
    kind = "final" if stride is None else "final_strided"
    return (
        _format(kind, **facts, stride=stride, eval_ms=1000 * eval_seconds),
        _format("final_exact", **facts),
    )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def parse_log(text: str) -> list[LogRecord]:
    """Every recognised line of a log, ours or a published one, in order. Unknown lines are skipped."""
    return [
        record for number, line in enumerate(text.splitlines(), 1) if (record := _parse_line(line, number)) is not None
    ]


def _parse_line(line: str, number: int) -> LogRecord | None:
    for kind, known in LINES.items():
        match = known.pattern.fullmatch(line)
        if match is None or (kind.startswith("final") and not _RESULT_LABELS.fullmatch(match["label"])):
            continue
        facts = {name: known.types[name](value) for name, value in match.groupdict().items()}
        return LogRecord("final" if kind == "final_strided" else kind, number, facts)
    match = _SWITCH.fullmatch(line)
    if match is None:
        return None
    facts = {"name": match["name"], "event": match["event"], "step": int(match["step"])}
    rest = {key: _typed(value) for key, value in (word.split(":", 1) for word in match["rest"].split())}
    return LogRecord("switch", number, rest | facts)


def _typed(word: str) -> int | float | str:
    for read in (int, float):
        with suppress(ValueError):
            return read(word)
    return word


class TextLog:
    """train.log, written line by line; each line is on disk when ``write`` returns."""

    def __init__(self, path: Path) -> None:
        """Raises RunError when the file cannot be opened."""
        self.path = path
        try:
            self._stream: IO[str] | None = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error

    def write(self, *lines: str) -> None:
        """Append lines made by this module's functions. Raises RunError when the disk refuses them."""
        assert self._stream is not None, "the log is closed"
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with suppress(OSError):  # what could not be written has been complained about
                stream.close()

    def __enter__(self) -> TextLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
