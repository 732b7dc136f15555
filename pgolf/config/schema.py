"""The typed facts of a run: Hydra rejects unknown keys and wrong types here (style 4).

Groups that choose an implementation are free mappings at this point; ``pgolf.config.check`` binds each of
them to its constructor's signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


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


@dataclass
class Size:
    """Every number that must scale together (style 3)."""

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
    chunk_tokens: int = MISSING
    eval_batch: int = MISSING
    shard_tokens: int = MISSING
    recurrent_layers: list[int] = MISSING
    loop_layers: list[int] = MISSING
    lanes_from: int = MISSING
    bigram_rows: int = MISSING
    bigram_dim: int = MISSING
    enrichment_hidden: int = MISSING
    value_dim: int = MISSING
    value_visits: list[int] = MISSING
    gate_window: int = MISSING
    mamba_layers: int = MISSING
    mamba_attention_layers: list[int] = MISSING
    mamba_inner: int = MISSING
    mamba_heads: int = MISSING
    mamba_state: int = MISSING
    mamba_chunk: int = MISSING
    calibration_seconds: float = MISSING
    presets: dict[str, Any] = field(default_factory=dict)


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
    probe_seconds: float = MISSING


@dataclass
class Train:
    """Numbers of the training loop that belong to no technique."""

    window: int = MISSING
    batch_tokens: int = MISSING
    accumulation: int = MISSING
    grad_clip: Optional[float] = None  # noqa: UP045
    precision: Precision = Precision.auto
    compile: Compile = Compile.auto
    compile_seconds: float = MISSING
    threads: Optional[int] = None  # noqa: UP045


@dataclass
class Root:
    seed: int = 1337
    device: Device = Device.auto
    size: Size = field(default_factory=Size)
    budget: Budget = field(default_factory=Budget)
    train: Train = field(default_factory=Train)
    data: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    loader: dict[str, Any] = field(default_factory=dict)
    arch: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    hook: dict[str, Any] = field(default_factory=dict)
    qat: dict[str, Any] = field(default_factory=dict)
    quant: dict[str, Any] = field(default_factory=dict)
    compressor: dict[str, Any] = field(default_factory=dict)
    eval: dict[str, Any] = field(default_factory=dict)
    ttt: dict[str, Any] = field(default_factory=dict)
    ngram: dict[str, Any] = field(default_factory=dict)
    mixer: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    run_root: str = "runs"
    cache_dir: str = ".cache"
    overwrite: bool = False
    rerun: bool = False
    print_model: bool = False
    notes: str = ""
    hypothesis: str = ""
    parent_run: str = ""


# Keys that choose where and how often a run is written, not what it computes: left out of its name.
CONTROL_KEYS = (
    *("seed", "logger", "run_root", "cache_dir", "overwrite", "rerun", "print_model"),
    *("notes", "hypothesis", "parent_run", "hydra", "choices"),
)


def register() -> None:
    ConfigStore.instance().store(name="schema", node=Root)
