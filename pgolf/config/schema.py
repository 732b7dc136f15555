"""The typed facts of a run: Hydra rejects unknown keys and wrong types here (style 4).

Groups that choose an implementation are free mappings at this point; ``pgolf.config.check`` binds each of
them to its constructor's signature.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pgolf.config.by_size import by_size
from pgolf.config.content import STEERING
from pgolf.core.command import home


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(Enum):
    """``auto``: bf16 autocast where the processor multiplies it natively, else fp32."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Compile(Enum):
    """``auto``: where a C++ compiler is found and the training budget is long enough for it to pay."""

    auto = "auto"
    always = "always"
    never = "never"


class StopAfter(Enum):
    """Where a run ends before validation is opened: with the dev score of the float weights, or of the artifact."""

    prequant = "prequant"
    dev = "dev"


class Certify(Enum):
    """How much a certificate proves, see ``pgolf.proof.profiles``."""

    smoke = "smoke"
    laptop = "laptop"
    standard = "standard"
    full = "full"


@dataclass
class Size:
    """Every number that several techniques share and that must scale together (style 3).

    What one technique alone reads stands in its own file, ``${by_size:...}``.
    """

    name: str = MISSING
    layers: int = MISSING
    width: int = MISSING
    heads: int = MISSING
    kv_heads: int = MISSING
    mlp_hidden: int = MISSING
    window: int = MISSING
    batch_tokens: int = MISSING
    accumulation: int = MISSING
    eval_window: int = MISSING
    stride: int = MISSING
    eval_batch: int = MISSING
    shard_tokens: int = MISSING
    recurrent_layers: list[int] = MISSING
    lanes_from: int = MISSING


@dataclass
class Budget:
    """Seconds, bytes and tokens a run may spend (decisions 6, 7)."""

    name: str = MISSING
    train_seconds: float = MISSING
    train_steps: Optional[int] = None  # noqa: UP045 - OmegaConf reads this annotation
    eval_seconds: float = MISSING
    cap_bytes: int = MISSING
    count_tokenizer: bool = MISSING
    subset_tokens: Optional[int] = None  # noqa: UP045
    certify: Certify = MISSING


@dataclass
class Training:
    """Numbers of the training loop that belong to no technique."""

    window: int = MISSING
    batch_tokens: int = MISSING
    accumulation: int = MISSING
    grad_clip: Optional[float] = None  # noqa: UP045
    precision: Precision = Precision.auto
    compile: Compile = Compile.auto
    compile_seconds: float = MISSING
    threads: Optional[int] = None  # noqa: UP045
    processes: Optional[int] = None  # noqa: UP045


@dataclass
class Root:
    seed: int = 1337
    device: Device = Device.auto
    size: Size = field(default_factory=Size)
    budget: Budget = field(default_factory=Budget)
    train: Training = field(default_factory=Training)
    data: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    loader: dict[str, Any] = field(default_factory=dict)
    arch: dict[str, Any] = field(default_factory=dict)
    warm_start: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    curriculum: dict[str, Any] = field(default_factory=dict)
    distillation: dict[str, Any] = field(default_factory=dict)
    auxiliary: dict[str, Any] = field(default_factory=dict)
    averaging: dict[str, Any] = field(default_factory=dict)
    hook: dict[str, Any] = field(default_factory=dict)
    qat: dict[str, Any] = field(default_factory=dict)
    quant: dict[str, Any] = field(default_factory=dict)
    compressor: dict[str, Any] = field(default_factory=dict)
    eval: dict[str, Any] = field(default_factory=dict)
    ttt: dict[str, Any] = field(default_factory=dict)
    ngram: dict[str, Any] = field(default_factory=dict)
    mixer: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)  # of a sweep; no run reads it: ``pgolf.config.sweep_file``
    run_root: str = "runs"
    cache_dir: str = ".cache"
    overwrite: bool = False
    rerun: bool = False
    resume: bool = False
    print_model: bool = False
    dry_run: bool = False
    stop_after: StopAfter | None = None
    certify: Certify = MISSING  # the budget's, unless more is asked for
    eval_ranks: int = 1
    notes: str = ""
    hypothesis: str = ""
    parent_run: str = ""
    sweep: str = ""


FACTS = tuple(name for name, hint in typing.get_type_hints(Root).items() if typing.get_origin(hint) is not dict)
"""The root keys that are typed here; the others are groups that choose an implementation."""


def with_defaults(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A saved config with the keys that later versions have added to what steers a run and to ``train``, at their
    defaults, by which a run is as it was before there were these keys."""
    steering = {key: value for key, value in _defaults(Root).items() if key in STEERING}
    train = cfg.get("train") or {}
    return steering | dict(cfg) | {"train": _defaults(Training) | dict(train) if isinstance(train, Mapping) else train}


def _defaults(schema: type) -> dict[str, Any]:
    """The keys of a schema that have a plain default, enums by name."""
    found = {one.name: one.default for one in fields(schema) if one.default not in (MISSING, NO_DEFAULT)}
    return {key: value.name if isinstance(value, Enum) else value for key, value in found.items()}


def fact_problem(dotted: str, value: Any) -> str | None:
    """None if the schema takes ``value`` for the key ``dotted``, else what it takes instead."""
    try:
        OmegaConf.update(OmegaConf.structured(Root), dotted, value)
    except OmegaConfBaseException as error:
        kind = _kind(dotted.split("."))
        said = f"is not {kind}" if kind else str(error).splitlines()[0]
        return f"{dotted}: {value!r} {said}"
    return None


def _kind(parts: Sequence[str]) -> str | None:
    """What the schema has at a key, in words; None where it is more than one value."""
    hint: Any = Root
    for part in parts:
        hint = typing.get_type_hints(hint).get(part) if is_dataclass(hint) else None
    inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if inner and type(None) in typing.get_args(hint):
        return f"{_kind_of(inner[0])} or null"
    return _kind_of(hint)


def _kind_of(hint: Any) -> str | None:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(member.name for member in hint)
    return _KINDS.get(hint)


_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@cache
def register() -> None:
    """Make the schema known to Hydra, and to OmegaConf what ``${by_size:...}`` and ``${home:PATH}`` mean.

    In this process; again costs nothing.
    """
    ConfigStore.instance().store(name="schema", node=Root)
    OmegaConf.register_new_resolver("by_size", by_size, replace=True)
    OmegaConf.register_new_resolver("home", lambda path: str(home(path)), replace=True)
