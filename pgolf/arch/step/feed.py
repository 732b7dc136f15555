"""A model fed in pieces: what it says of new positions without running all before them again.

Shapes: B sequences, N new positions, D model, V vocabulary.

The model's own code runs, on the new positions alone; the parts that look at other positions give stand-ins that
remember what they need (``Part.stand_ins``), which are in their places for as long as a pass lasts:

| part | remembers |
|---|---|
| attention | keys and values |
| smear gate, bigram hash, canon | the last one (``taps − 1``) inputs |
| state-space mixer | the taps' inputs and the state |
| routed MLP with a causal mean | the sum of its inputs; with a window, the inputs |

Each visit of a repeated layer has memories of its own. A part that neither says that it treats each position alone
nor gives a stand-in is refused by name, so that a new technique cannot predict wrongly unnoticed.
Equal to the full forward pass up to rounding: for every position without a window, for the first ``window`` positions
with one (tests, for every option of arch).
Cost: the matrices once a position and attention over what is kept; the stand-ins' memories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pgolf.arch.base import Part
from pgolf.arch.step.memory import Past, Step
from pgolf.core.protocols import Model, TellingModel

CONTAINERS = (nn.ModuleList, nn.ModuleDict)  # torch's own, which compute nothing


@dataclass(frozen=True, slots=True)
class Committed:
    """What a model's stand-ins remember: what is shared, and the memories of each."""

    past: tuple[int, Tensor | None]
    memories: tuple[list[Any], ...]


class Feed:
    """``window`` and ``block``: see ``pgolf.arch.step.memory``. The model must pass ``unknown_parts``."""

    def __init__(self, model: Model, window: int | None = None, block: int = 1) -> None:
        assert not unknown_parts(model) and not model.training
        self.model, self.past = model, Past(window, block)
        self.steps: list[tuple[nn.Module, str, Step]] = [
            (module, method, step)
            for module in model.modules()
            for method, step in (_stand_ins(module, self.past) or {}).items()
        ]

    def hidden(self, ids_BN: Tensor) -> Tensor:
        """The normed final stream [B, N, D] of positions that follow what is committed. Nothing is remembered yet."""
        return self.hidden_and(ids_BN, ())[0]

    @torch.no_grad()
    def hidden_and(self, ids_BN: Tensor, names: Sequence[str]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The same, with vectors of the positions as ``TellingModel`` has them."""
        return self.traced(ids_BN, names)

    def traced(self, ids_BN: Tensor, names: Sequence[str]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The same in the caller's mode: with gradients where that has them, which end where the past begins."""
        self.past.begin(ids_BN)
        for _, _, step in self.steps:
            step.begin()
        with self._standing_in(), torch.autocast(ids_BN.device.type, enabled=False):
            if names and isinstance(self.model, TellingModel):
                return self.model.hidden_and(ids_BN, names)
            return self.model.hidden(ids_BN), {}

    def commit(self) -> None:
        """The positions of the last ``hidden`` are past."""
        self.past.commit()
        for _, _, step in self.steps:
            step.commit()

    @torch.no_grad()
    def step(self, ids_B: Tensor) -> Tensor:
        """Logits of the word after ``ids_B`` (int64), which is past with that: fp32 [B, V]."""
        x_B1D = self.hidden(ids_B[:, None])
        self.commit()
        with torch.autocast(ids_B.device.type, enabled=False):
            return self.model.project(x_B1D)[:, -1]

    @property
    def committed(self) -> Committed:
        """As it is now; what is fed later does not change it."""
        return Committed(self.past.committed, tuple(step.memories for _, _, step in self.steps))

    def on(self, model: Model, committed: Committed | None = None) -> Feed:
        """What is committed here, or was, for the model or a copy of it."""
        twin, committed = Feed(model, self.past.window, self.past.block), committed or self.committed
        twin.past.take_over(committed.past)
        for (_, _, step), memories in zip(twin.steps, committed.memories, strict=True):
            step.memories = memories
        return twin

    @contextmanager
    def _standing_in(self) -> Iterator[None]:
        for module, method, step in self.steps:
            # On this one object, before the method of its class: the class serves other models too.
            module.__dict__[method] = step
        try:
            yield
        finally:
            for module, method, _ in self.steps:
                del module.__dict__[method]


def unknown_parts(model: Model) -> list[str]:
    """The kinds of parts that cannot be fed in pieces, each with the reason; empty where all can."""
    found = {}
    for name, module in model.named_modules():
        if _stand_ins(module, Past()) is None:
            kind = f"{type(module).__module__}.{type(module).__qualname__}".removeprefix("pgolf.arch.")
            why = module.why_not if isinstance(module, Part) else Part.why_not
            found[kind] = f"{name} ({kind}) {why}"
    return list(found.values())


def _stand_ins(module: nn.Module, past: Past) -> Mapping[str, Step] | None:
    if isinstance(module, Part):
        return module.stand_ins(past)
    return {} if isinstance(module, CONTAINERS) else None
