"""A Mamba-2 (SSD) mixer whose decay is constant per head: chunked, without a loop over time.

Shapes: B batch, T time, D model, I inner width, H heads, P = I/H head size, N state, C chunks, Q chunk length,
J taps.

On the normed input z: ``(val, gate) = W_in z``; ``x = SiLU(causal depthwise conv(val))``; ``B_t, C_t`` [H, N]
linear in z; ``Δ = softplus(dt_bias)``, ``A = −exp(A_log)``, ``δ = exp(AΔ)``, all constant per head;
``S_t = δS_{t−1} + Δ·B_t x_tᵀ``, ``y_t = C_tᵀS_t + D·x_t``; out = ``W_out(y ⊙ SiLU(gate))``.
Source: #687 (arXiv 2405.21060 for the chunked form), spec arch §10.3.
Cost in bytes: 3·D·I quantized weights; B, C (2·D·H·N) and the convolution in fp16.
Cost in step time: 581 ms a step against 1,503 with a loop over time (#687, one H100); on two CPU cores about
that of the attention and MLP it replaces at ``size=laptop``.
When it hurts: it never beat the attention baseline (1.2519 at best against 1.2262 in 80 minutes on one H100).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.base import Linear, SequenceMixer
from pgolf.arch.dims import Dims
from pgolf.arch.step.memory import LastInputs, Past, Step
from pgolf.arch.taps import causal_taps
from pgolf.core.errors import ConfigError
from pgolf.core.results import ParamSpec

COMPONENT = "ssm"


def ssd(u_BTHP: Tensor, b_BTHN: Tensor, c_BTHN: Tensor, log_decay_H: Tensor, chunk_tokens: int) -> Tensor:
    """``y_t = C_tᵀS_t`` with ``S_t = δS_{t−1} + B_t u_tᵀ``, ``δ = exp(log_decay)``: [B, T, H, P].

    Exact for any chunk length: the time axis is padded with zeros at its end. Whatever autocast says, powers of δ,
    the states and what they carry from chunk to chunk are fp32. Under autocast the two products within a chunk
    round their factors, masked powers included, to its dtype once; nothing rounded there is carried on.
    """
    time = u_BTHP.size(1)
    u, b, c = (_chunked(x, chunk_tokens) for x in (u_BTHP, b_BTHN, c_BTHN))  # [B, H, C, Q, ·]
    place_Q = torch.arange(chunk_tokens, dtype=torch.float32, device=u.device)
    chunk_C = torch.arange(u.size(2), dtype=torch.float32, device=u.device)
    log_H1 = log_decay_H.float()[:, None]

    within_HQQ = _powers(log_H1, place_Q[:, None] - place_Q).tril()
    y = (c @ b.mT * within_HQQ[:, None]) @ u

    left_HQ = torch.exp(log_H1 * (chunk_tokens - 1 - place_Q))
    between_HCC = _powers(log_H1 * chunk_tokens, chunk_C[:, None] - 1 - chunk_C).tril(-1)
    passed_HQ = torch.exp(log_H1 * (place_Q + 1))
    with torch.autocast(u.device.type, enabled=False):
        states_BHCNP = (b.float() * left_HQ[:, None, :, None]).mT @ u.float()
        carry_BHCNP = (between_HCC @ states_BHCNP.flatten(-2)).view_as(states_BHCNP)
        y = y + (c.float() * passed_HQ[:, None, :, None]) @ carry_BHCNP
    return y.flatten(2, 3).transpose(1, 2)[:, :time]


def _chunked(x_BTHK: Tensor, chunk_tokens: int) -> Tensor:
    """[B, H, C, Q, K], with zeros after the end."""
    padded = F.pad(x_BTHK, (0, 0, 0, 0, 0, -x_BTHK.size(1) % chunk_tokens))
    return padded.unflatten(1, (-1, chunk_tokens)).permute(0, 3, 1, 2, 4)


def _powers(log_H1: Tensor, exponent: Tensor) -> Tensor:
    """``exp(log · exponent)`` [H, ·, ·]; negative exponents, which the caller masks, as 0."""
    return torch.exp(log_H1[:, :, None] * exponent.clamp(min=0))


class SSD(SequenceMixer):
    """Stands where attention stands in a block; ignores its query gain and its sites."""

    conv: nn.Parameter
    conv_bias: nn.Parameter
    dt_bias: nn.Parameter
    a_log: nn.Parameter
    d: nn.Parameter

    def __init__(
        self,
        *,
        dims: Dims,
        inner: int,
        heads: int,
        state: int,
        taps: int,
        chunk_tokens: int,
        step_range: tuple[float, float],
    ) -> None:
        super().__init__()
        if inner % heads:
            raise ConfigError(f"arch.ssm_inner: {inner} is no multiple of arch.ssm_heads = {heads}")
        low, high = step_range
        if low >= high:
            raise ConfigError(f"arch.ssm_step_min: {low} is not below arch.ssm_step_max = {high}")
        self.heads, self.chunk_tokens = heads, chunk_tokens
        self.into = Linear(dims.width, 2 * inner, COMPONENT)
        self.b = _kept(Linear(dims.width, heads * state, COMPONENT))
        self.c = _kept(Linear(dims.width, heads * state, COMPONENT))
        self.out = Linear(inner, dims.width, COMPONENT, writes_residual=True)
        bound = taps**-0.5
        conv_JI = torch.empty(taps, inner).uniform_(-bound, bound)
        self.declare("conv", conv_JI, group="scalar", storage="keep_fp16", component=COMPONENT)
        self.declare_control("conv_bias", torch.empty(inner).uniform_(-bound, bound), COMPONENT)
        step_H = torch.empty(heads).uniform_(low, high)
        self.declare_control("dt_bias", step_H + torch.log(-torch.expm1(-step_H)), COMPONENT)
        self.declare_control("a_log", torch.arange(1, heads + 1, dtype=torch.float32).log(), COMPONENT)
        self.declare_control("d", torch.ones(heads), COMPONENT)

    def stand_ins(self, past: Past) -> Mapping[str, Step]:
        return {"scan": StateStep(past, self.scan), "taps": LastInputs(past, self.taps, self.conv.size(0) - 1)}

    def forward(
        self, h_BTD: Tensor, gain_H: Tensor | None, sites: Mapping[str, Sequence[nn.Module]], context: Any
    ) -> Tensor:
        value_BTI, gate_BTI = self.into(h_BTD).chunk(2, dim=-1)
        x_BTHP = F.silu(self.taps(value_BTI)).unflatten(-1, (self.heads, -1))
        b_BTHN, c_BTHN = (layer(h_BTD).unflatten(-1, (self.heads, -1)) for layer in (self.b, self.c))
        step_H = F.softplus(self.dt_bias)
        log_decay_H = -torch.exp(self.a_log) * step_H
        y_BTHP = self.scan(step_H[:, None] * x_BTHP, b_BTHN, c_BTHN, log_decay_H)
        y_BTHP = y_BTHP + self.d[:, None] * x_BTHP
        return self.out(y_BTHP.flatten(2) * F.silu(gate_BTI))

    def taps(self, value_BTI: Tensor) -> Tensor:
        """The convolution; what feeds a model in pieces stands in for it and for ``scan``."""
        return causal_taps(value_BTI, self.conv, self.conv_bias)

    def scan(self, u_BTHP: Tensor, b_BTHN: Tensor, c_BTHN: Tensor, log_decay_H: Tensor) -> Tensor:
        """From the zero state."""
        return ssd(u_BTHP, b_BTHN, c_BTHN, log_decay_H, self.chunk_tokens)


class StateStep(Step):
    """``scan`` from the state that was left: S blocks of Q positions each, one after another."""

    def step(self, memory: Any, u_BTHP: Tensor, b_BTHN: Tensor, c_BTHN: Tensor, log_H: Tensor) -> tuple[Tensor, Any]:
        past = self.past
        # Of one layout, whatever S is: a product of transposed factors may have other bits.
        u_SQHP, b_SQHN, c_SQHN = (past.blocks(x.contiguous()) for x in (u_BTHP, b_BTHN, c_BTHN))
        place_Q1 = torch.arange(past.size, device=log_H.device)[:, None]
        decay_HQ = torch.exp(log_H * (place_Q1 + 1)).T
        left_QH1 = torch.exp(log_H * (past.size - 1 - place_Q1))[..., None]
        added = past.joined(torch.einsum("sqhn,sqhp->shnp", b_SQHN * left_QH1, u_SQHP)[:, None])  # [B, S, H, N, P]
        states = [torch.zeros_like(added[:, 0]) if memory is None else memory]
        for one_BHNP in added.unbind(1):
            states.append(decay_HQ[:, -1, None, None] * states[-1] + one_BHNP)
        before_SHNP = torch.stack(states[:-1], 1).flatten(0, 1)
        carried_SHQP = (c_SQHN.transpose(1, 2) * decay_HQ[..., None]) @ before_SHNP
        y_SQHP = ssd(u_SQHP, b_SQHN, c_SQHN, log_H, past.size) + carried_SHQP.transpose(1, 2)
        return past.joined(y_SQHP), states[-1]


def _kept(layer: Linear) -> Linear:
    """A matrix for Muon that passes quantization: what B and C say decides what a state remembers."""
    layer.specs["weight"] = ParamSpec(group="matrix", storage="keep_fp16", component=COMPONENT)
    return layer
