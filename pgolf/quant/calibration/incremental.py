"""A model fed one position at a time: the logits of the next word without running the whole prefix again.

Shapes: B sequences, T positions so far, V vocab.

``step(ids_B)`` equals ``model.logits(prefix)[:, -1]`` up to rounding (a test, for every option of arch). The model's
own code runs, on a single position; the parts that look at other positions give stand-ins that remember what they
need (``Part.one_position``), which are in their places for as long as the ``with`` block lasts:

| part | remembers |
|---|---|
| attention | keys and values; keys before rotation where the rotary base grows with the length (NTK) |
| smear gate, bigram hash, canon | the last one (``taps − 1``) inputs |
| state-space mixer | the taps' inputs and the state |
| routed MLP with a causal mean | the sum of its inputs |

A part that neither says that it treats each position alone nor gives a stand-in is refused by name, so that a new
technique cannot generate wrongly unnoticed.
Cost: per step the matrices once and attention over the prefix; 2·G·K numbers per position and attention visit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from pgolf.arch.base import Part
from pgolf.arch.stepping import Prefix, Step
from pgolf.core.protocols import Model

CONTAINERS = (nn.ModuleList, nn.ModuleDict)  # torch's own, which compute nothing


class Past(Prefix):
    """What has been fed so far; ``step`` feeds one more position."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.steps: list[Step] = []

    @torch.no_grad()
    def step(self, ids_B: Tensor) -> Tensor:
        """Logits of the word after ``ids_B`` (int64): fp32 [B, V]."""
        ids_B1 = ids_B[:, None]
        # Known to attention before the model runs: the new position sees itself.
        self.extend(ids_B1)
        for step in self.steps:
            step.begin()
        with torch.autocast(ids_B.device.type, enabled=False):
            return self.model.logits(ids_B1)[:, -1]


@contextmanager
def incremental(model: Model) -> Iterator[Past]:
    """``with incremental(model) as past: logits_BV = past.step(ids_B)``; afterwards the model is as before.

    The model must pass ``unknown_parts``.
    """
    assert not unknown_parts(model) and not model.training
    past = Past(model)
    with ExitStack() as restore:
        for module in list(model.modules()):
            for method, step in (_stand_ins(module, past) or {}).items():
                # On this one object, before the method of its class: the class serves other models too.
                setattr(module, method, step)
                restore.callback(delattr, module, method)
                past.steps.append(step)
        yield past


def unknown_parts(model: Model) -> list[str]:
    """The kinds of parts that cannot be fed one position at a time, each with the reason; empty where all can."""
    found = {}
    for name, module in model.named_modules():
        if _stand_ins(module, Prefix()) is None:
            kind = f"{type(module).__module__}.{type(module).__qualname__}".removeprefix("pgolf.arch.")
            why = module.why_not if isinstance(module, Part) else Part.why_not
            found[kind] = f"{name} ({kind}) {why}"
    return list(found.values())


def _stand_ins(module: nn.Module, prefix: Prefix) -> Mapping[str, Step] | None:
    if isinstance(module, Part):
        return module.one_position(prefix)
    return {} if isinstance(module, CONTAINERS) else None
