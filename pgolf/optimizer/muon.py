"""Muon: momentum, then the orthogonalised update, for 2-D weight matrices.

``O = matrix_update(G);  W ← decayed W − lr·max(1, m/n)^½·O``, m rows (outputs), n columns; plain Muon's O is
``NS(G + μM)``, see ``matrix_update``. Matrices of one shape are updated as one stack, and their state lies in one:
what ``state`` holds of each parameter are views of it.
Source: Muon (Jordan); spec optimizer §2.
Cost in bytes: none in the artifact; in memory one fp32 momentum per weight, half of AdamW's state.
Cost in step time: that of ``orthogonal``, once per matrix.
Hurts: nowhere known for matrices. The update's size ignores the gradient's, so a factor on some gradients is
no learning rate (#1204's had no effect); weight decay pays in bytes (0.04: 17.0 → 14.3 MB, #687).

Shapes: K matrices of one shape, M rows (outputs), N columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pgolf.optimizer.matrix_update import MatrixUpdate, shape_scale
from pgolf.optimizer.sharding.base import Bank, Sharding


class Decays(Protocol):
    def __call__(self, weights: list[Tensor], updates: Sequence[Tensor], rate: float) -> None:
        """Shrink ``weights`` in place by at most ``rate`` of each, before ``updates`` are subtracted from them."""
        ...


class Muon(torch.optim.Optimizer):
    """A torch optimizer over ``groups``, each with ``params``, ``lr`` and ``weight_decay``. The rate, the decay and
    ``momentum`` may be changed per step in ``param_groups``."""

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        *,
        momentum: float,
        update: MatrixUpdate,
        decay: Decays,
        sharding: Sharding | None = None,
    ) -> None:
        assert all(p.ndim == 2 for group in groups for p in group["params"]), "Muon takes matrices only"
        super().__init__(groups, {"momentum": momentum})
        self.update, self.decay = update, decay
        self.sharding = Sharding() if sharding is None else sharding
        self._stacks: dict[tuple[int, torch.Size], _Stack] = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for bank, updates in self.sharding.updates(self.banks(), self._update_of):
            group = bank.group
            self.decay(bank.members, updates, group["lr"] * group["weight_decay"])
            torch._foreach_add_(bank.members, updates, alpha=-group["lr"] * shape_scale(bank.key[1]))

    def banks(self) -> list[Bank]:
        found: dict[tuple[int, torch.Size], Bank] = {}
        for number, group in enumerate(self.param_groups):
            for p in group["params"]:
                if p.grad is not None:
                    found.setdefault((number, p.shape), Bank((number, p.shape), group, [])).members.append(p)
        return list(found.values())

    def _update_of(self, bank: Bank, members: list[Tensor], gradient_PMN: Tensor) -> Tensor:
        """Of some of a bank's members, each whole or in as many pieces."""
        state = self._stacked(bank.key, members, gradient_PMN)
        return self.update(gradient_PMN, state, bank.group["momentum"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stacks.clear()
        super().load_state_dict(state_dict)

    def _stacked(self, key: tuple[int, torch.Size], members: list[Tensor], like_PMN: Tensor) -> Mapping[str, Tensor]:
        """The members' state as stacks, of which their entries in ``state`` are views; made anew only where other
        matrices than last time have a gradient."""
        held = self._stacks.get(key)
        if held is None or held.members != [id(p) for p in members]:
            pieces = len(like_PMN) // len(members)
            for p, like in zip(members, like_PMN.split(pieces), strict=True):
                if not self.state[p]:
                    first = self.update.new_state(like)
                    self.state[p].update({name: value if pieces > 1 else value[0] for name, value in first.items()})
            names = list(self.state[members[0]])
            stacks = {name: torch.stack([self.state[p][name] for p in members]) for name in names}
            for name, stack in stacks.items():
                for p, view in zip(members, stack, strict=True):
                    self.state[p][name] = view
                stacks[name] = stack.flatten(0, 1) if pieces > 1 else stack
            held = self._stacks[key] = _Stack([id(p) for p in members], stacks)
        return held.state


class _Stack:
    def __init__(self, members: list[int], state: Mapping[str, Tensor]) -> None:
        self.members, self.state = members, state
