"""Each hidden unit mixes four activations (relu², tanh, SiLU, GELU) with weights it learns.

Shapes: B batch, T time, D model, M hidden units, K = 4 activations, R = 16 routing units.

``w_jk = softmax_k((α_jk + β_k·G(x̄)_k + Gumbel) / τ)``, ``y = W₂ Σ_k w_jk f_k(W₁x)``, ``G = V₂ relu(V₁ x̄)`` (with
biases). α starts at 0, β at 1. The noise is there in training only; τ falls from ``tau_start`` to ``tau_end`` over
the run, and outside training it is ``tau_end``: scores depend on the weights alone.

``routing`` says what x̄, the input averaged over time, is:

* ``static``: nothing; the β-term and G are absent.
* ``causal_mean``: at each position the mean of the inputs up to it (from the window's start).
* ``sequence_mean``: the mean of the whole sequence, future included, as published. **Not causal**: a score that
  uses it is no code length, and the certificate must fail it.

Source: #1026; spec arch §10.1. α, β and G belong to the visit, as all control scalars do: visits that share
matrices route for themselves.
Cost in bytes: 4·M fp16 values per visit, with a mean R·(D+5) + 8 more (14,424 in all at D = 512, M = 1,536).
Cost in step time: four activations instead of one; ``causal_mean`` four M-wide weights per position besides.
Hurts: the published model dropped it for per-unit slopes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.base import FeedForward, Linear, Part
from pgolf.arch.dims import Dims
from pgolf.arch.step.memory import Past, Step
from pgolf.core.ranges import PositiveFloat, PositiveInt

Routes = Literal["static", "causal_mean", "sequence_mean"]
ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda h: F.relu(h).square(),
    torch.tanh,
    F.silu,
    F.gelu,
)
SMALLEST_UNIFORM = 1e-10
LARGEST_UNIFORM = 1.0 - 2.0**-24  # the largest fp32 below 1: the published 1 − 1e-10 rounds to 1 there


class Router(Part):
    """The activation of one visit: its weights over the four functions, and the temperature."""

    follows_progress = True

    tau: Tensor
    alpha: nn.Parameter
    beta: nn.Parameter

    def __init__(self, dims: Dims, routing: Routes, router_hidden: int, tau_start: float, tau_end: float) -> None:
        super().__init__()
        functions = len(ACTIVATIONS)
        self.routing: Routes = routing
        self.tau_start, self.tau_end = float(tau_start), float(tau_end)
        if routing == "sequence_mean":
            self.why_not = "reads the whole sequence, later positions included"
        self.register_buffer("tau", torch.tensor(self.tau_start), persistent=False)
        declare_routing(self, "alpha", torch.zeros(dims.mlp_hidden, functions))
        if routing != "static":
            declare_routing(self, "beta", torch.ones(functions))
            self.hidden = Affine(dims.width, router_hidden)
            self.out = Affine(router_hidden, functions)

    def stand_ins(self, past: Past) -> Mapping[str, Step] | None:
        if self.routing == "causal_mean":
            return {"_pooled": (RunningMean if past.window is None else MeanOfWindow)(past, self._pooled)}
        return {} if self.routing == "static" else None

    def at_progress(self, fraction: float) -> None:
        """Set the temperature of training at this fraction of the run, 0 to 1."""
        self.tau.fill_(self.tau_start + min(1.0, max(0.0, fraction)) * (self.tau_end - self.tau_start))

    def forward(self, h_BTM: Tensor, x_BTD: Tensor) -> Tensor:
        """``Σ_k w_k ⊙ f_k(h)``, one function at a time: four M-wide outputs are never held together."""
        log_weights = self.log_weights(x_BTD)
        total = torch.logaddexp(
            torch.logaddexp(log_weights[0], log_weights[1]), torch.logaddexp(log_weights[2], log_weights[3])
        )
        y_BTM = torch.zeros_like(h_BTM)
        for function, log_weight in zip(ACTIVATIONS, log_weights, strict=True):
            y_BTM = y_BTM + (log_weight - total).exp().to(h_BTM.dtype) * function(h_BTM)
        return y_BTM

    def log_weights(self, x_BTD: Tensor) -> list[Tensor]:
        """Per function the unnormalised log-weights, fp32, broadcastable to [B, T, M]."""
        with torch.autocast(x_BTD.device.type, enabled=False):
            logits = [self.alpha[:, k] for k in range(len(ACTIVATIONS))]
            pooled_B1D = self._pooled(x_BTD.float())
            if pooled_B1D is not None:
                routed = self.beta * self.out(F.relu(self.hidden(pooled_B1D)))
                logits = [logit + routed[..., k, None] for k, logit in enumerate(logits)]
            if self.training:
                shape = (x_BTD.size(0), 1, self.alpha.size(0))
                logits = [logit + gumbel(shape, x_BTD.device) for logit in logits]
                return [logit / self.tau for logit in logits]
            return [logit / self.tau_end for logit in logits]

    def _pooled(self, x_BTD: Tensor) -> Tensor | None:
        if self.routing == "static":
            return None
        if self.routing == "sequence_mean":
            return x_BTD.mean(1, keepdim=True)
        count_T1 = torch.arange(1, x_BTD.size(1) + 1, device=x_BTD.device, dtype=torch.float32)[:, None]
        return x_BTD.cumsum(1) / count_T1


class RunningMean(Step):
    """``_pooled`` of a causal mean: the mean of all inputs up to each."""

    def step(self, memory: Any, x_BND: Tensor) -> tuple[Tensor, Any]:
        total_B1D, count = memory or (0.0, 0)
        total_BND = total_B1D + x_BND.cumsum(1)
        after = count + x_BND.size(1)
        count_N1 = torch.arange(count + 1, after + 1, device=x_BND.device, dtype=torch.float32)[:, None]
        return total_BND / count_N1, (total_BND[:, -1:], after)


class MeanOfWindow(Step):
    """``_pooled`` of a causal mean in a moving window: of the last inputs up to each. E places before and in a block
    of Q positions; S blocks."""

    def step(self, memory: Any, x_BND: Tensor) -> tuple[Tensor, Any]:
        past = self.past
        x_BTD = past.extended(memory, x_BND)
        x_SED = past.windows(x_BTD)
        seen_SQE = past.band().tril(past.length - past.size).float()
        share_SQE = seen_SQE / seen_SQE.sum(-1, keepdim=True)
        return past.joined(share_SQE.expand(len(x_SED), -1, -1).bmm(x_SED)), past.rest(x_BTD)


def declare_routing(part: Part, name: str, value: Tensor) -> None:
    """A value that steers the activations: AdamW without decay, stored in fp16 unquantized."""
    part.declare(name, value, group="scalar_no_decay", storage="keep_fp16", component="mlp")


class Affine(Part):
    """``Wx + b`` in fp32, small enough to count among the scalars; PyTorch's default start."""

    alone = True

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        bound = fan_in**-0.5
        declare_routing(self, "weight", torch.empty(fan_out, fan_in).uniform_(-bound, bound))
        declare_routing(self, "bias", torch.empty(fan_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def gumbel(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Gumbel noise in fp32 from uniform numbers kept away from 0 and 1."""
    uniform = torch.rand(shape, device=device, dtype=torch.float32)
    return -(-uniform.clamp(SMALLEST_UNIFORM, LARGEST_UNIFORM).log()).log()


class PolyGLURouted(FeedForward):
    alone = True

    def __init__(
        self,
        *,
        dims: Dims,
        routing: Routes,
        router_hidden: PositiveInt,
        tau_start: PositiveFloat,
        tau_end: PositiveFloat,
    ) -> None:
        super().__init__()
        self.router = (dims, routing, router_hidden, tau_start, tau_end)
        self.up = Linear(dims.width, dims.mlp_hidden, "mlp")
        self.down = Linear(dims.mlp_hidden, dims.width, "mlp", writes_residual=True)

    def own_activation(self) -> Router:
        """The activation that one visit owns."""
        return Router(*self.router)

    def forward(self, h_BTD: Tensor, activation: Router) -> Tensor:
        return self.down(activation(self.up(h_BTD), h_BTD))
