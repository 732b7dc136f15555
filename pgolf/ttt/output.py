"""What becomes of the rows of an adapting network: a temperature, and the unadapted network mixed in. No option.

Formula: ``q_v ∝ p_v^(1/T)`` of the adapted network's p, then ``(1−w)·q + w·p₀``, p₀ the rows of the network as the
artifact has it. ``temperature`` is T, or with ``per_token`` the T of a row is ``1 − (1−T)(1 − H/ln V)``, within
0.9 … 1.05, H the entropy of the row: a sure row is sharpened more. ``keep`` is w. With ``expert`` p₀ is beside q, for
the mixer to weigh.
Every row still sums to one, and is made from rows alone.
Source: temperature: #606, per token #687 (spec ttt §1). Unadapted network: design evaluation §8.
Bytes: none. Time: the temperature's softmax; a second forward pass of everything for the unadapted network.
Hurts: a temperature below 1 where the network is not too timid (0.98: +0.0006 bits per byte where ``ttt.sgd`` was
measured).

Shapes: B spans, K positions, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_T, LARGEST_T = 0.9, 1.05  # per token
VECTOR = 32  # elements that torch's loops take at a time at most


@dataclass(frozen=True, slots=True)
class Output:
    """``keep`` 0 and ``temperature`` 1 leave rows as they are, to the bit."""

    keep: float
    temperature: float
    per_token: bool
    expert: bool = False

    @property
    def neutral(self) -> bool:
        return self.keep == 0 and self.temperature == 1

    def mixed(self, logp_BKV: Tensor, frozen_BKV: Tensor | None) -> Tensor:
        """``frozen_BKV``: p₀, needed where ``keep`` is not 0. Both fp32 log-probabilities, as is what comes out."""
        if self.temperature != 1:
            logp_BKV = F.log_softmax(logp_BKV / self._temperature(logp_BKV), dim=-1)
        if self.keep == 0:
            return logp_BKV
        assert frozen_BKV is not None
        own = math.log1p(-self.keep) if self.keep < 1 else -math.inf
        # A tensor's last elements, where they fill no vector, are computed otherwise: of every row none or the same.
        odd, words = -logp_BKV.size(-1) % VECTOR, logp_BKV.size(-1)
        logp_BKV, frozen_BKV = (F.pad(rows, (0, odd)) if odd else rows for rows in (logp_BKV, frozen_BKV))
        return torch.logaddexp(logp_BKV + own, frozen_BKV + math.log(self.keep))[..., :words].contiguous()

    def _temperature(self, logp_BKV: Tensor) -> Tensor | float:
        if not self.per_token:
            return self.temperature
        entropy_BK1 = -(logp_BKV.exp() * logp_BKV).sum(-1, keepdim=True)
        certain_BK1 = 1 - entropy_BK1 / math.log(logp_BKV.size(-1))
        return (1 - (1 - self.temperature) * certain_BK1).clamp(LEAST_T, LARGEST_T)
