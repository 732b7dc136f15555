"""The network: block-parallel, and a pure function of its inputs between two observations.

Shapes: B blocks, T inputs of a block, K kept positions, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.protocols import Model
from pgolf.eval.blocks import Block


@dataclass(frozen=True, slots=True)
class Batch:
    """Blocks of one shape with their inputs; after the last revealed token the inputs are 0."""

    blocks: tuple[Block, ...]
    inputs_BT: Tensor
    keep: int


@dataclass(frozen=True, slots=True)
class Rows:
    """``logp_BKV`` float32, log-probabilities (nats) of each kept position's target; ``signals`` float32 [B, K]."""

    logp_BKV: Tensor
    signals: Mapping[str, Tensor] = field(default_factory=dict)


class Network(Protocol):
    """``learns``: whether ``observe`` changes anything; ``cadence``: rounds end at its multiples, None: anywhere.

    ``offers``: the signals that it can be asked for.
    """

    @property
    def learns(self) -> bool: ...
    @property
    def cadence(self) -> int | None: ...
    @property
    def offers(self) -> tuple[str, ...]: ...

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """Targets are no argument: only a coder holds them."""
        ...

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """Learn from that very batch, whose inputs were the true ones in its last ``log_probs``, and its targets."""
        ...

    def fork(self) -> Network:
        """An independent copy of the whole state."""
        ...


SIGNALS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "entropy": lambda logp_BKV: -(logp_BKV.exp() * logp_BKV).sum(-1),  # nats
    "largest": lambda logp_BKV: logp_BKV.amax(-1).exp(),
}


class FixedNetwork:
    """A fixed predictor: ``observe`` changes nothing. The model stays on the device it is on."""

    learns: ClassVar[bool] = False
    cadence: ClassVar[int | None] = None
    offers: ClassVar[tuple[str, ...]] = tuple(SIGNALS)

    def __init__(self, model: Model) -> None:
        self.model = model

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """fp32 log-softmax of the logits; dropout and the like are off while it runs."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.autocast(device_type=batch.inputs_BT.device.type, enabled=False):
                logits_BKV = self.model.logits(batch.inputs_BT, batch.keep)
        finally:
            self.model.train(was_training)
        logp_BKV = F.log_softmax(logits_BKV.float(), dim=-1)
        return Rows(logp_BKV, {name: SIGNALS[name](logp_BKV) for name in wanted})

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """The weights are fixed."""

    def fork(self) -> FixedNetwork:
        """Its model is out of training for good: batches side by side would switch that on and off for each other, and
        some kernels for one row differ where a weight wants a gradient."""
        return FixedNetwork(copy.deepcopy(self.model).eval().requires_grad_(False))
