"""Muon: momentum, then the orthogonalised update, for 2-D weight matrices.

``M ← μM + G;  U = G + μM;  W ← (1 − lr·wd)W − lr·max(1, m/n)^½·NS(U)``, m rows (outputs), n columns.
Matrices of one shape are orthogonalised in one batch.
Source: Muon (Jordan); spec optimizer §2.
Cost in bytes: none in the artifact; in memory one fp32 momentum per weight, half of AdamW's state.
Cost in step time: that of ``newton_schulz``, once per matrix.
Hurts: nowhere known for matrices. The update's size ignores the gradient's, so a factor on some gradients is
no learning rate (#1204's had no effect); weight decay pays in bytes (0.04: 17.0 → 14.3 MB, #687).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pgolf.core.newton_schulz import newton_schulz


class Muon(torch.optim.Optimizer):
    """A torch optimizer; ``lr``, ``momentum`` and ``weight_decay`` may be changed per step in ``param_groups``."""

    def __init__(
        self,
        params: Sequence[nn.Parameter],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        nesterov: bool,
        ns_steps: int,
        ns_dtype: torch.dtype,
    ) -> None:
        assert all(p.ndim == 2 for p in params), "Muon takes matrices only"
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, defaults)
        self.ns_steps, self.ns_dtype = ns_steps, ns_dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p, dtype=torch.float32))
                gradient = p.grad.float()
                buffer.mul_(group["momentum"]).add_(gradient)
                update = gradient.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
                by_shape.setdefault(tuple(p.shape), []).append((p, update))
            for (rows, columns), members in by_shape.items():
                updates = newton_schulz(torch.stack([u for _, u in members]), self.ns_steps, self.ns_dtype)
                scale = max(1.0, rows / columns) ** 0.5
                for (p, _), update in zip(members, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)
