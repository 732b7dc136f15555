"""``Part``: a module that says of each of its parameters where it belongs.

Every parameter names its optimizer group, its storage role and its component when it is created, so that
nothing is trained by nobody and nothing is quantized by accident (spec arch §1, style 16).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.core.results import OptimizerGroup, ParamSpec, StorageRole

NORM_EPSILON = 1.19e-7


def rms_norm(x: Tensor) -> Tensor:
    """``x / sqrt(mean(x²) + ε)`` over the last axis, computed in fp32 whatever the dtype of ``x``."""
    return F.rms_norm(x.float(), (x.size(-1),), eps=NORM_EPSILON).to(x.dtype)


class Part(nn.Module):
    """A module whose direct parameters are all declared through ``declare``."""

    def __init__(self) -> None:
        super().__init__()
        self.specs: dict[str, ParamSpec] = {}

    def declare(
        self, name: str, value: Tensor, *, group: OptimizerGroup, storage: StorageRole, component: str
    ) -> None:
        """Register ``value`` as the parameter ``name`` with its optimizer group and storage role."""
        self.register_parameter(name, nn.Parameter(value))
        self.specs[name] = ParamSpec(group=group, storage=storage, component=component)

    def declare_control(self, name: str, value: Tensor, component: str = "control") -> None:
        """A scalar or vector that steers others: AdamW without decay of its own kind, stored in fp32."""
        self.declare(name, value, group="scalar", storage="keep_fp32", component=component)


class Linear(Part):
    """Bias-free ``y = x Wᵀ``; fp32 master weight [out, in], cast at use by autocast.

    ``writes_residual`` marks the projections back into the residual stream, which initialisers zero.
    """

    weight: nn.Parameter

    def __init__(self, fan_in: int, fan_out: int, component: str, writes_residual: bool = False) -> None:
        super().__init__()
        weight = torch.empty(fan_out, fan_in)
        nn.init.kaiming_uniform_(weight, a=5**0.5)
        self.declare("weight", weight, group="matrix", storage="matrix", component=component)
        self.writes_residual = writes_residual

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def param_specs(model: nn.Module, layers: Mapping[nn.Module, int] | None = None) -> dict[str, ParamSpec]:
    """Specs by qualified parameter name; asserts that every parameter has exactly one.

    ``layers`` gives the physical layer of modules; it is that of all parameters below them. The kind of a
    ``weight`` is the name its module goes by (``q``, ``down``), that of any other parameter its own.
    """
    specs: dict[str, ParamSpec] = {}
    places = {model: (None if layers is None else layers.get(model), "")}
    for prefix, module in model.named_modules():  # parents first, each module once
        layer, called = places[module]
        own = dict(module.named_parameters(recurse=False))
        declared = module.specs if isinstance(module, Part) else {}
        assert own.keys() == declared.keys(), (
            f"{prefix or 'model'}: {own.keys() ^ declared.keys()} not declared through Part.declare"
        )
        for name, spec in declared.items():
            kind = spec.kind or (called if name == "weight" else name)
            specs[f"{prefix}.{name}" if prefix else name] = replace(spec, kind=kind, layer=layer)
        for child_name, child in module.named_children():
            below = layer if layers is None else layers.get(child, layer)
            places.setdefault(child, (below, child_name))
    return specs
