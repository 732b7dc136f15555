"""Floating-point operations of training, counted from shapes.

Counted are the matrix products that the formula asks for, two operations for each product of two numbers: those of all
layers as torch counts them, of attention ``softmax(q kᵀ) v`` the pairs that a causal query sees, whatever a kernel
computes beside them, and of the head. The backward pass of a product is two of the same size, so training takes three
times as many as a forward pass. Norms, rotations, softmax and the optimizer are not counted, as is usual.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pgolf.arch import head_loss  # noqa: F401 - which defines the operator that is counted here
from pgolf.arch.attention.layer import Attention
from pgolf.core.protocols import Model
from pgolf.train.state import random_state, restore_random_state

TRAINING = 3  # forward passes' worth


@dataclass(frozen=True, slots=True)
class Flops:
    """Of training on one token; ``attention`` and ``head`` are in ``total``."""

    total: float
    attention: float
    head: float


def training_flops(model: Model, window: int) -> Flops:
    """Of ``model`` in its active route, by a forward pass over one window of ``window`` tokens."""
    twin = copy.deepcopy(model)
    pairs = 0

    def counted(layer: Attention) -> Callable[..., Tensor]:
        def mix(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: object) -> Tensor:
            nonlocal pairs
            batch, length, heads, width = q_BTHK.shape
            pairs += batch * heads * width * length * (length + 1) // 2
            return v_BTGK.repeat_interleave(heads // v_BTGK.size(2), 2)

        return mix

    for module in twin.modules():
        if isinstance(module, Attention):
            module.mix = counted(module)  # type: ignore[method-assign]
    device = next(twin.parameters()).device
    ids_BT = torch.zeros(1, window, dtype=torch.int64, device=device)
    operator = torch.ops.pgolf.capped_cross_entropy
    counter = FlopCounterMode(display=False, custom_mapping={operator: _head})
    state = random_state()  # parts that draw random numbers in training do so here too
    try:
        with torch.no_grad(), counter:
            twin.loss(ids_BT, ids_BT)
    finally:
        restore_random_state(state)
    head = counter.get_flop_counts()["Global"].get(operator, 0)
    attention = 2 * 2 * pairs
    forward = counter.get_total_flops() + attention
    return Flops(*(TRAINING * flops / window for flops in (forward, attention, head)))


def _head(x_shape: tuple[int, int], table_shape: tuple[int, int], *_: object, **__: object) -> int:
    return 2 * math.prod(x_shape) * table_shape[0]
