"""Parameters by group, and torch's optimizers over them behind one face.

Every optimizer of the group is ``Grouped``; it brings the optimizers and, where something changes over the run,
``_prepare``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor, nn

from pgolf.core.results import OptimizerGroup

if TYPE_CHECKING:
    from pgolf.core.protocols import Model
    from pgolf.train.phases import Phase
    from pgolf.train.replicas import Replicas


class Grouped:
    """The optimizers by name; each of their groups has a ``name`` and a rate that the schedule multiplies."""

    def __init__(self, **optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers
        self.steps = 0  # taken
        self._base_lrs = {name: [g["lr"] for g in o.param_groups] for name, o in optimizers.items()}

    @property
    def shards_state(self) -> bool:
        """Has each of several replicas a part of the state?"""
        return False

    @property
    def own_gradients(self) -> frozenset[str]:
        """The groups whose parameters' gradients stay each replica's own after ``average``, where there are several."""
        return frozenset()

    def average(
        self, replicas: Replicas, parameters: Sequence[nn.Parameter], also: Sequence[Tensor], clip: float | None
    ) -> None:
        """Replace gradients, and ``also``, by their means over ``replicas``, as far as this process needs them for its
        part of the step; the gradients' norm over all ``parameters`` is ``clip`` at most."""
        average(replicas, parameters, also, clip)

    def step(self, lr_scale: float, progress: float) -> None:
        """One update with every learning rate times ``lr_scale``; ``progress`` is the fraction of the run done."""
        self._prepare(progress)
        for name, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self._base_lrs[name], strict=True):
                group["lr"] = base * lr_scale
            optimizer.step()
        self.steps += 1

    def _prepare(self, progress: float) -> None:
        """Before each step."""

    def zero_grad(self) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def phases(self) -> list[Phase]:
        return []

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps} | {name: o.state_dict() for name, o in self.optimizers.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"]
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(copy.deepcopy(dict(state[name])))


def average(replicas: Replicas, parameters: Sequence[Tensor], also: Sequence[Tensor], clip: float | None) -> None:
    """``Grouped.average`` where every process needs every gradient."""
    replicas.mean_([*also, *(p.grad for p in parameters if p.grad is not None)])
    if clip is not None:
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        # A norm that is no number would leave no gradient that is one, and nobody could tell whose was none. Without a
        # branch on its value, for which the device would be waited for.
        nn.utils.clip_grads_with_norm_(parameters, clip, norm.nan_to_num(nan=0.0, posinf=0.0))


def partition(model: Model) -> dict[str, list[nn.Parameter]]:
    """The model's parameters by optimizer group; asserts that each is in exactly one."""
    specs = model.param_specs()
    groups: dict[str, list[nn.Parameter]] = {group: [] for group in get_args(OptimizerGroup)}
    for name, parameter in model.named_parameters():
        groups[specs[name].group].append(parameter)
    placed = [id(p) for members in groups.values() for p in members]
    assert len(placed) == len(set(placed)) == len(list(model.parameters())), "a parameter lies in no group or in two"
    return groups


Rate = tuple[float, float]
"""Learning rate, weight decay."""


def beside_matrices(embedding: Rate, head_lr: float, scalar: Rate) -> dict[str, Rate]:
    """The groups that are no matrices of blocks: an untied head and ``scalar_no_decay`` never decay."""
    return {"embedding": embedding, "head": (head_lr, 0.0), "scalar": scalar, "scalar_no_decay": (scalar[0], 0.0)}


def with_rates(groups: Mapping[str, list[nn.Parameter]], rates: Mapping[str, Rate]) -> list[dict[str, Any]]:
    """torch's groups for those of ``rates`` that have parameters."""
    return [
        {"params": groups[name], "name": name, "lr": lr, "weight_decay": decay}
        for name, (lr, decay) in rates.items()
        if groups[name]
    ]
