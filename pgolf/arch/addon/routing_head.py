"""Learned routing head: from the hidden state, how much to trust the network and each n-gram order.

Shapes: B batch, T time, D model, K orders, W = 1+K outputs (the network first).

``gate = W_g h + b`` on the final normed hidden state, fp32, W_g = 0, b = 0 except the network's ``neural_bias``.
Orders without counts are masked with −10⁹; with s = softmax(gate), ``w_0 = f + (1−f)·s_0`` and
``w_k = (1−f)·s_k``, f = ``neural_floor``. Training adds ``loss_weight · mean(−ln Σ w_k p_k(target))``.
p_0 is the network's own probability of the target, p_k the exact Witten–Bell distribution of order k over what
the batch has shown before the target (``pgolf.arch.addon.count_provider``). The recursion's P_1 is the network's
probability too: every p_k is smoothed towards the network, not towards a table of words. Gradients reach the head
through the weights, and the trunk through the weights, through p_0 and, by that smoothing, through every p_k.
``orders`` is the one constant: it gives the head its width. The mixing at evaluation is ``mixer=routed``, which asks
for the vector ``gates``; a forward pass that asks for logits only never runs the head.
Source: #834 (orders 2–7), #860 (2–12) (spec arch §10.4, spec ngram §4), their hashed ratios replaced by exact
distributions. #860's loss fixes six orders under a head of twelve outputs and cannot run as published.
Cost: (1+K)·(D+1) fp32 weights (6,156 for orders 2–12 at width 512). Time, training only: one more product of the
head's size forward and three backward, and the counts (two sorts of the batch's tokens per order).
A laptop training step of 4,096 words takes 23 % more.
It hurts on small budgets, where that costs steps; without an n-gram expert it earns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, Host, ModelOutline
from pgolf.arch.addon.count_provider import preceding_counts, witten_bell
from pgolf.arch.addon.token_nll import token_nll
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Fraction, PositiveFloat

PLACE = "arch.addons.routing_head"


class RoutingGates(Part):
    """The site ``output``."""

    alone = True

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, dims: Dims, settings: RoutingHead) -> None:
        super().__init__()
        self.orders, self.neural_floor = settings.orders, settings.neural_floor
        self.loss_weight = settings.loss_weight
        outputs = 1 + len(settings.orders)
        bias = torch.zeros(outputs)
        bias[0] = settings.neural_bias
        self.declare_control("weight", torch.zeros(outputs, dims.width), "routing_head")
        self.declare_control("bias", bias, "routing_head")

    @property
    def tells(self) -> dict[str, int]:  # type: ignore[override]
        return {"gates": 1 + len(self.orders)}

    def tell(self, name: str, x_BTD: Tensor) -> Tensor:
        return self.gate_logits(x_BTD)

    def gate_logits(self, x_BTD: Tensor) -> Tensor:
        """Unmasked gates of the final normed hidden states, fp32 [B, T, W], autocast or not."""
        with torch.autocast(x_BTD.device.type, enabled=False):
            return F.linear(x_BTD.float(), self.weight, self.bias)

    def weights(self, gate_BTW: Tensor, seen_BTK: Tensor) -> Tensor:
        """Mixing weights [B, T, W], which sum to 1; orders that are not ``seen`` get exactly 0.

        Raises ConfigError where gates and orders differ in number.
        """
        if gate_BTW.size(-1) != 1 + seen_BTK.size(-1):
            raise ConfigError(
                f"{PLACE}.orders: {gate_BTW.size(-1)} gates cannot weigh the network and {seen_BTK.size(-1)} orders"
            )
        usable_BTW = F.pad(seen_BTK, (1, 0), value=True)
        share_BTW = gate_BTW.masked_fill(~usable_BTW, -1e9).softmax(-1)
        floor_W = F.pad(share_BTW.new_full((1,), self.neural_floor), (0, seen_BTK.size(-1)))
        return floor_W + (1 - self.neural_floor) * share_BTW

    def forward(self, x_BTD: Tensor, context: ForwardContext) -> None:
        """Append the mixture's loss, in nats times ``loss_weight``."""
        assert context.targets_BT is not None and context.head is not None
        table_VD, cap = context.head
        neural_BT = torch.exp(-token_nll(x_BTD, table_VD, context.targets_BT, cap))
        counts = preceding_counts(context.ids_BT, context.targets_BT, self.orders[-1])
        order_BTK, seen_BTK = witten_bell(neural_BT, counts, self.orders)
        p_BTW = torch.cat([neural_BT[..., None], order_BTK], -1)
        mixed_BT = (self.weights(self.gate_logits(x_BTD), seen_BTK) * p_BTW).sum(-1)
        context.auxiliary.append(self.loss_weight * -mixed_BT.log().mean())


class RoutingHead(Addon):
    """The specification."""

    sites = ("output",)
    order = 10

    def __init__(
        self,
        *,
        orders: Sequence[int],
        neural_bias: float,
        neural_floor: Fraction,
        loss_weight: PositiveFloat,
    ) -> None:
        ascending = all(a < b for a, b in zip(orders, list(orders)[1:], strict=False))
        if not orders or orders[0] < 2 or not ascending:
            raise ConfigError(f"{PLACE}.orders: {list(orders)} is not a rising list of orders from 2 on")
        self.orders, self.neural_bias = tuple(orders), neural_bias
        self.neural_floor, self.loss_weight = neural_floor, loss_weight

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> RoutingGates:
        return RoutingGates(dims, self)


def router_of(model: Host) -> RoutingGates:
    """The routing head of ``model``. Raises ConfigError for a model without one."""
    for part in model.parts_at("output"):
        if isinstance(part, RoutingGates):
            return part
    raise ConfigError("arch/addon: this model has no routing_head")


def logits_and_gates(model: Host, ids_BT: Tensor, keep: int | None = None) -> tuple[Tensor, Tensor]:
    """Capped logits [B, keep, V] and unmasked gates [B, keep, W] of the last ``keep`` positions (None: all)."""
    x_BTD = model.hidden(ids_BT)
    x_BTD = x_BTD if keep is None else x_BTD[:, -keep:]
    return model.project(x_BTD), router_of(model).gate_logits(x_BTD)
