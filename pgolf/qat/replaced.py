"""A model's loss with some of its weights replaced in the forward pass, and not even the model knows.

The parameters stay what they are: the names of the state dict, the optimizer's groups, averages and the
artifact see only them. Their stand-ins are made outside the compiled graph, by the very code that the
exporter runs, and enter it as arguments, plain or replaced. So a compiler cannot fold the switch away, one
graph serves before and after it, nothing is compiled in mid-run, and the stand-ins are the exported weights
to the last bit (inside a graph a compiler may contract or reorder their arithmetic).
Cost while off: one view per matrix and step, 0.3 ms at laptop size, nothing that shows in a compiled step. A
blend by a switch inside the graph would pay for the rounding all the time, a second graph for compiling it.
Cost while on: the rounding, not fused with what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pgolf.core.protocols import Model
from pgolf.qat.base import Loss

Replacement = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From a weight to what stands in for it and its derivative, elementwise, both in the weight's shape."""


class ReplacedLoss(Loss):
    """``model.loss`` with ``replacements`` (by parameter name) and ``penalty``, neither of which acts before
    ``turn_on``. Its model part takes the stand-ins as one more argument, the first."""

    def __init__(
        self,
        model: Model,
        replacements: Mapping[str, Replacement],
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(self._with_weights)
        self.model, self.replacements, self.penalty, self.on = model, dict(replacements), penalty, False
        self._caller = _LossCaller(model)
        self._slots = parameter_slots(self._caller, dict(model.named_parameters()), self.replacements)
        self._parameters = {name: p for name, p in model.named_parameters() if name in self.replacements}

    def __call__(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        weights: dict[str, Tensor] = {}
        for name, stand_in in self.stand_ins().items():
            weights.update((slot, stand_in) for slot in self._slots[name])
        loss = self._model_part(weights, ids_BT, targets_BT)
        if self.on and self.penalty is not None:
            loss = loss + self.penalty()
        return loss

    def stand_ins(self) -> dict[str, Tensor]:
        """What the forward pass uses in place of each parameter, by name; while off, the parameter."""
        if not self.on:
            # Views, not the parameters themselves: compiled code is guarded by the type of its arguments, and
            # would be compiled again when the stand-ins come, which are no Parameters.
            return {name: p.view_as(p) for name, p in self._parameters.items()}
        return {name: _Replace.apply(p, self.replacements[name]) for name, p in self._parameters.items()}

    def turn_on(self) -> None:
        self.on = True

    def _with_weights(self, weights: Mapping[str, Tensor], ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        # Every slot is in ``weights`` already. tie_weights would add the second path to a shared module, fill its
        # slot twice and leave the stand-in there.
        return torch.func.functional_call(self._caller, dict(weights), (ids_BT, targets_BT), tie_weights=False)


class _LossCaller(nn.Module):
    """``functional_call`` calls ``forward``."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return self.model.loss(ids_BT, targets_BT)


class _Replace(torch.autograd.Function):
    """The replacement's value forward, its derivative backward.

    Not ``w + (value - w).detach()``: in float32 that sum is not ``value`` to the last bit, and it can pass only
    the whole gradient.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, replacement: Replacement) -> Tensor:
        value, slope = replacement(weight.detach())
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


def parameter_slots(
    root: nn.Module, parameters: Mapping[str, Tensor], wanted: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Each wanted parameter's places below ``root``: one dotted name per module and attribute that hold it.

    A module that is reached on two paths is one place: filled twice, it would not be emptied (the second
    filling takes the first for the original).
    """
    # By identity: a name says where a parameter was declared, and a second module may hold it under another.
    names = {id(parameter): name for name, parameter in parameters.items() if name in wanted}
    slots: dict[str, list[str]] = {name: [] for name in names.values()}
    for prefix, module in root.named_modules():  # each module once
        for attribute, parameter in module._parameters.items():
            if id(parameter) in names:
                slots[names[id(parameter)]].append(f"{prefix}.{attribute}" if prefix else attribute)
    assert slots.keys() == set(wanted), f"no parameters: {set(wanted) - slots.keys()}"
    return slots
