"""The numbers every part of a model may need."""

from __future__ import annotations

from dataclasses import dataclass

from pgolf.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Dims:
    """Widths of one model: D model, H query heads, G key/value heads, K = D/H head size, M MLP hidden."""

    vocab_size: int
    bos_id: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    mlp_hidden: int

    def __post_init__(self) -> None:
        problems = []
        if self.width % self.heads:
            problems.append(f"arch.width: {self.width} is no multiple of arch.heads = {self.heads}")
        elif self.head_width % 2:
            problems.append(f"arch.width: width/heads = {self.head_width} is odd; rotary positions need pairs")
        if self.heads % self.kv_heads:
            problems.append(f"arch.heads: {self.heads} is no multiple of arch.kv_heads = {self.kv_heads}")
        if problems:
            raise ConfigError(problems)

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_width
