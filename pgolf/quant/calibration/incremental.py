"""A model fed one position at a time: the logits of the next word without running the whole prefix again.

Shapes: B sequences, T positions so far, D model, H query heads, G key/value heads, K head size, I inner width,
N state, P inner width of a head, V vocab.

``step(ids_B)`` equals ``model.logits(prefix)[:, -1]`` up to rounding (a test, for every option of arch). The model's
own code runs, on a single position; only the modules that look at other positions are stood in for, for as long as
the ``with`` block lasts, by a ``Step`` that remembers what they need:

| module | remembers |
|---|---|
| attention | keys and values; keys before rotation where the rotary base grows with the length (NTK) |
| smear gate, bigram hash, canon | the last one (``taps − 1``) inputs |
| state-space mixer | the taps' inputs and the state |
| routed MLP with a causal mean | the sum of its inputs |

A module is let through only where it is known to treat each position alone (``ALONE``); anything else is refused by
name, so that a new technique cannot generate wrongly unnoticed.
Cost: per step the matrices once and attention over the prefix; 2·G·K numbers per position and attention visit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.attention.layer import Rotary
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.taps import causal_taps

ARCH = "pgolf.arch."
FIRST_ROOM = 64  # positions

# Modules (under pgolf.arch) all of whose classes treat each position alone, apart from those in ``_STEPS``.
ALONE = frozenset(
    (
        *("part", "unet", "block", "addons", "attention.layer.Rotary"),
        *(f"lanes.{name}" for name in ("none", "p1", "p2", "p3", "p4")),
        *(
            f"recurrence.{name}"
            for name in ("none", "shared", "mini", "encoder", "segment_loop", "stack_loop")
        ),
        *(f"mlp.{name}" for name in ("relu2", "leaky_relu2", "gated", "polyglu_slope", "polyglu_routed")),
        *(f"addon.gate_{name}" for name in ("linear", "output", "sigmoid", "small", "sparse", "static")),
        *(f"addon.{name}" for name in ("hyper_connections", "ln_scale", "pre_enrichment", "routing_head")),
        *(f"addon.{name}" for name in ("skip_gate", "token_gate", "value_embedding", "xsa")),
        *(f"addon.{name}" for name in ("value_residual_v0", "value_residual_x0")),
    )
)


class Step:
    """Stands in for a method of a module. A module called several times in a pass has a memory for each call."""

    def __init__(self, stands_for: Callable[..., Any]) -> None:
        self.stands_for = stands_for
        self._memories: list[Any] = []
        self._calls = 0

    def begin(self) -> None:
        """The next call is the first of a pass."""
        self._calls = 0

    def __call__(self, *args: Any) -> Tensor:
        if self._calls == len(self._memories):
            self._memories.append(None)
        y, self._memories[self._calls] = self.step(self._memories[self._calls], *args)
        self._calls += 1
        return y

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        """What the method returns for this position, and the memory for the next; it is None at the first."""
        raise NotImplementedError


class Window(Step):
    """The method itself, on the last ``reach`` positions and this one."""

    def __init__(self, stands_for: Callable[..., Any], reach: int) -> None:
        super().__init__(stands_for)
        self.reach = reach

    def step(self, memory: Any, *args: Any) -> tuple[Tensor, Any]:
        tensors = [value for value in args if isinstance(value, Tensor)]
        joined = [_join(old, new) for old, new in zip(memory or [None] * len(tensors), tensors, strict=True)]
        given = iter(joined)
        y = self.stands_for(*(next(given) if isinstance(value, Tensor) else value for value in args))
        return y[:, -1:], [value[:, max(0, value.size(1) - self.reach) :] for value in joined]


class History:
    """Positions one after another, in memory that doubles when it is full."""

    def __init__(self) -> None:
        self._room: Tensor | None = None
        self._length = 0

    def append(self, new: Tensor) -> Tensor:
        """Add one position [B, 1, …]; all so far, [B, T, …]."""
        if self._room is None or self._length == self._room.size(1):
            room = new.new_empty(new.size(0), max(FIRST_ROOM, 2 * self._length), *new.shape[2:])
            if self._room is not None:
                room[:, : self._length] = self._room
            self._room = room
        self._room[:, self._length] = new[:, 0]
        self._length += 1
        return self._room[:, : self._length]


class AttentionStep(Step):
    """``mix`` of an attention whose rotary positions have been switched off: they are applied here."""

    def __init__(self, attention: Any, past: Past) -> None:
        super().__init__(attention.mix)
        self.rotary, self.kernel, self.past = attention.rotary, attention.kernel, past

    def step(
        self, memory: Any, q_B1HK: Tensor, k_B1GK: Tensor, v_B1GK: Tensor, context: Any
    ) -> tuple[Tensor, Any]:
        keys, values = memory or (History(), History())
        cos, sin = self.past.tables(self.rotary)
        q_B1HK = self.rotary.turn(q_B1HK, cos[-1:], sin[-1:])
        if self.rotary.ntk:
            keys_BTGK = self.rotary.turn(keys.append(k_B1GK), cos, sin)
        else:
            keys_BTGK = keys.append(self.rotary.turn(k_B1GK, cos[-1:], sin[-1:]))
        visible_BT = self.kernel.visible(self.past.ids_BT)
        return fused(q_B1HK, keys_BTGK, values.append(v_B1GK), visible_BT[:, None, None]), (keys, values)


class StateSpaceStep(Step):
    """``forward`` of the state-space mixer: its recurrence as it is written, one position."""

    def __init__(self, mixer: Any) -> None:
        super().__init__(mixer.forward)
        self.mixer = mixer

    def step(self, memory: Any, h_B1D: Tensor, *unused: Any) -> tuple[Tensor, Any]:
        mixer = self.mixer
        value_B1I, gate_B1I = mixer.into(h_B1D).chunk(2, dim=-1)
        old_values, state = memory or (None, 0.0)
        values_BTI = _join(old_values, value_B1I)[:, -mixer.conv.size(0) :]
        taps_B1I = causal_taps(values_BTI, mixer.conv, mixer.conv_bias)[:, -1:]
        x_BHP = F.silu(taps_B1I).unflatten(-1, (mixer.heads, -1))[:, 0]
        b_BHN, c_BHN = (layer(h_B1D).unflatten(-1, (mixer.heads, -1))[:, 0] for layer in (mixer.b, mixer.c))
        step_H1 = F.softplus(mixer.dt_bias)[:, None]
        decay_H1 = torch.exp(-torch.exp(mixer.a_log)[:, None] * step_H1)
        state = decay_H1[..., None] * state + b_BHN[..., None] * (step_H1 * x_BHP)[..., None, :]
        y_BHP = (c_BHN[..., None] * state).sum(-2) + mixer.d[:, None] * x_BHP
        return mixer.out(y_BHP.flatten(1)[:, None] * F.silu(gate_B1I)), (values_BTI, state)


class MeanStep(Step):
    """``_pooled`` of a routed activation: the mean of the inputs up to this one."""

    def step(self, memory: Any, x_B1D: Tensor) -> tuple[Tensor, Any]:
        total, count = memory or (0.0, 0)
        total, count = total + x_B1D, count + 1
        return total / count, (total, count)


class Past:
    """What has been fed so far; ``step`` feeds one more position."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.ids_BT = torch.empty(0)
        self.steps: list[Step] = []
        self._tables: dict[tuple[int, float], tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self, ids_B: Tensor) -> Tensor:
        """Logits of the word after ``ids_B`` (int64): fp32 [B, V]."""
        ids_B1 = ids_B[:, None]
        self.ids_BT = _join(self.ids_BT if self.ids_BT.numel() else None, ids_B1)
        self._tables.clear()
        for step in self.steps:
            step.begin()
        with torch.autocast(ids_B.device.type, enabled=False):
            return self.model.logits(ids_B1)[:, -1]  # type: ignore[operator]

    def tables(self, rotary: Rotary) -> tuple[Tensor, Tensor]:
        """``rotary.tables`` of the positions so far, made once a step for all layers."""
        length = self.ids_BT.size(1)
        key = rotary.rotary, rotary.effective_base(length)
        if key not in self._tables:
            self._tables[key] = rotary.tables(length, self.ids_BT.device)
        return self._tables[key]


def _join(old: Tensor | None, new: Tensor) -> Tensor:
    return new if old is None else torch.cat([old, new], dim=1)


def _attention(module: Any, past: Past) -> dict[str, Step]:
    return {"mix": AttentionStep(module, past)}


# Class (under pgolf.arch) to the methods to stand in for.
_STEPS: dict[str, Callable[[Any, Past], dict[str, Step]]] = {
    "attention.layer.Attention": _attention,
    "addon.smear_gate.Blend": lambda module, past: {"forward": Window(module.forward, 1)},
    "addon.smear_gate.InputGated": lambda module, past: {"forward": Window(module.forward, 1)},
    "addon.bigram_hash.BigramEmbedding": lambda module, past: {"forward": Window(module.forward, 1)},
    "addon.canon.CanonConvolution": lambda module, past: {
        "forward": Window(module.forward, module.weight.size(0) - 1)
    },
    "ssd.SSD": lambda module, past: {"forward": StateSpaceStep(module)},
    "mlp.polyglu_routed.Router": lambda module, past: (
        {} if module.routing == "static" else {"_pooled": MeanStep(module._pooled)}
    ),
}


@contextmanager
def incremental(model: nn.Module) -> Iterator[Past]:
    """``with incremental(model) as past: logits_BV = past.step(ids_B)``; afterwards the model is as before.

    The model must pass ``unknown_parts``.
    """
    assert not unknown_parts(model) and not model.training
    past = Past(model)
    with ExitStack() as restore:
        for module in list(model.modules()):
            kind = _kind(module)
            steps = _STEPS[kind](module, past) if kind in _STEPS else {}
            if kind == "attention.layer.Rotary":
                _stand_in(module, "forward", _unturned, restore)
            for method, step in steps.items():
                _stand_in(module, method, step, restore)
                past.steps.append(step)
        yield past


def _unturned(x_BTHK: Tensor) -> Tensor:
    return x_BTHK


def _stand_in(module: nn.Module, method: str, function: Callable[..., Any], restore: ExitStack) -> None:
    setattr(module, method, function)  # on this one object, before the method of its class
    restore.callback(delattr, module, method)


def _kind(module: nn.Module) -> str:
    """Where the class of ``module`` is defined, from pgolf.arch on; torch's own classes in full."""
    return f"{type(module).__module__}.{type(module).__qualname__}".removeprefix(ARCH)


def unknown_parts(model: nn.Module) -> list[str]:
    """The parts that cannot be fed one position at a time, each with the reason; empty where all can."""
    found = {}
    for name, module in model.named_modules():
        kind = _kind(module)
        known = kind in _STEPS or kind in ALONE or kind.rpartition(".")[0] in ALONE
        if kind == "mlp.polyglu_routed.Router" and module.routing == "sequence_mean":
            found[kind] = f"{name} ({kind}) reads the whole sequence, later positions included"
        elif not known and not isinstance(module, nn.ModuleList | nn.ModuleDict):
            found[kind] = f"{name} ({kind}) has no form for one position at a time"
    return list(found.values())
