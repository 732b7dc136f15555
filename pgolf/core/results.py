"""What each stage hands to the next, one frozen record per arrow of the data flow (style, "Data flow")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

StorageRole = Literal["matrix", "embedding", "keep_fp32", "keep_fp16"]
OptimizerGroup = Literal["matrix", "embedding", "head", "scalar", "scalar_no_decay"]


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """Where one parameter belongs, so that nobody reads it off its name.

    ``group``: ``matrix`` (Muon), ``embedding``, ``head``, ``scalar`` (AdamW), ``scalar_no_decay`` (as ``scalar``,
    with weight decay 0 whatever the other scalars have).
    ``storage``: ``matrix`` and ``embedding`` are quantized, ``keep_fp32`` and ``keep_fp16`` pass through.
    ``component``: what it is part of (``attention``, ``mlp``, ``bigram``). ``kind``: which of the component's
    parameters it is (``q``, ``k``, ``v``, ``out``, ``up``, ``down``, ``table``).
    ``layer``: the physical layer that it belongs to, whose visits alone use it; None: to no layer, or to several.
    ``repeat``: it belongs to visits that repeat a layer, and to no first visit.
    """

    group: OptimizerGroup
    storage: StorageRole
    component: str
    kind: str = ""
    layer: int | None = None
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor as the artifact keeps it.

    ``scheme`` is an entry of ``pgolf.quant.schemes.SCHEMES``; ``arrays`` holds what that scheme consists of, by
    field: ``grid`` has ``q`` (int8 of ``shape``) and ``scale`` (float16 [rows]), ``fp32`` has ``values``.
    ``role`` names the stream the bytes travel in, so that like meets like in the compressor.
    """

    name: str
    role: str
    scheme: str
    shape: tuple[int, ...]
    arrays: Mapping[str, np.ndarray]
    bits: int = 0


@dataclass(frozen=True, slots=True)
class QuantizedState:
    """All tensors of a model, each stored once.

    ``aliases`` maps further names to stored ones. ``corrections`` maps a stored matrix to the names of two more
    stored tensors, ``(left, right)``: it decodes to its own values plus ``left @ right``; the two are no weights.
    """

    tensors: tuple[StoredTensor, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    corrections: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the bytes of one stream are: arrays of ``dtype`` (numpy's name) and ``shapes``, one after another.

    int8 arrays lie row-major; arrays of wider types are split into byte planes, all arrays together.
    ``|u1`` with one shape is plain bytes (the header, the tokenizer).
    """

    dtype: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """The packed file and its byte ledger. All sizes in bytes; decimal, not binary, megabytes.

    ``bytes_total`` is what the cap is held against: weights + packed counts + code (+ tokenizer where the budget counts
    it). ``bytes_weights`` is the file less its sections of tokenizer and packed counts, ``bytes_by_role`` splits it
    further. ``sha256`` is of the file, ``code_sha256`` of the script that ``bytes_code`` counts.
    """

    path: Path
    bytes_total: int
    bytes_weights: int
    bytes_code: int
    bytes_tokenizer: int
    bytes_by_role: Mapping[str, int]
    cap_bytes: int
    counts_tokenizer: bool
    code_label: str
    sha256: str
    code_sha256: str
    bytes_packed: int = 0

    @property
    def over_by(self) -> int:
        return max(0, self.bytes_total - self.cap_bytes)


@dataclass(frozen=True, slots=True)
class SignalTrace:
    """How a number that a stage wrote or read went over the stream: of all ``count`` positions, and ``curve``, the
    means of 64 equal parts of the stream in turn, None for one without positions."""

    name: str
    count: int
    mean: float
    deviation: float
    least: float
    largest: float
    curve: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One measured code length (decisions 18): see ``pgolf.eval.evaluation.make_score``.

    ``val_loss`` nats per target, ``val_bpb`` bits per byte; ``sum_p`` of the rows that scored the targets, or, where
    whole ones were made for the audit alone, of those. ``method`` names the eval option and what stands beside it, such
    as ``streaming+backoff+bucketed``. ``traces``: of mixer and experts, as whoever scored tells it.
    """

    val_loss: float
    val_bpb: float
    side_bits: float
    sum_p_mean: float
    sum_p_max: float
    claimed_bpb: float
    renormalised_bpb: float
    method: str
    window: int
    stride: int
    metric: Literal["raw", "table"]
    split: str
    subset: bool
    tokens: int
    bytes: int
    seconds: float
    valid: bool
    traces: tuple[SignalTrace, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training leaves behind; ``state`` is the (averaged) weights by name, on the CPU.

    ``seconds_before``: those of ``seconds`` that went before the first step, to a teacher. ``exported``: which
    weights these are, in words.
    """

    state: Mapping[str, Any]
    seconds: float
    steps: int
    tokens: int
    stopped_by: str
    seconds_before: float = 0.0
    exported: str = ""

    @property
    def tokens_per_second(self) -> float:
        seconds = self.seconds - self.seconds_before
        return self.tokens / seconds if seconds > 0 else 0.0

    @property
    def ms_per_step(self) -> float:
        return 1000 * (self.seconds - self.seconds_before) / self.steps if self.steps else 0.0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe of the certificate: verdict, what was measured, how much was looked at."""

    letter: str
    name: str
    passed: bool
    measured: Mapping[str, Any]
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """All probes of one evaluation. ``track`` is A (fixed predictor) or B (adaptive).

    ``isolation``: what kept the processes that were judged from all but the counted files, such as ``landlock 7`` or
    ``audit hook only``; ``code``: what they ran.
    """

    probes: tuple[ProbeResult, ...]
    profile: Literal["raw", "table"]
    track: Literal["A", "B"]
    isolation: str
    code: str

    @property
    def passed(self) -> bool:
        return all(probe.passed for probe in self.probes)

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(f"({p.letter}) {p.name}: {p.message}" for p in self.probes if not p.passed)

    def as_dict(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "profile": self.profile,
            "track": self.track,
            "isolation": self.isolation,
            "code": self.code,
            "probes": [asdict(probe) | {"measured": dict(probe.measured)} for probe in self.probes],
        }
