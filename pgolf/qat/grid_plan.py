"""The grid a run will export to, as far as training can know it: what training-time devices round to.

Bits come from the quantizer's policy and scales from its own rule, applied to the weights of the moment by
the code that the exporter runs. For quant=rtn and its presets the rounded weights are the exported ones bit
for bit, on the same kind of processor (row deviations are sums, whose last bit may differ between a GPU and
the CPU that exports). Ternary and binary quantizers round through their own export. For quant=gptq the grid
agrees and the codes do not: GPTQ rounds later columns to make up for earlier ones, and of several candidate
scales it takes the one with the least Hessian-weighted error. Corrections and pruning are not modelled.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from pgolf.core.errors import ConfigError
from pgolf.core.protocols import Quantizer
from pgolf.core.results import ParamSpec
from pgolf.quant.grid import as_rows, dequantize_rows, qmax
from pgolf.quant.pipeline import Codes, Pipeline, row_maximum
from pgolf.quant.tensor_info import TensorInfo, tensor_infos


class Grid(Protocol):
    """What one tensor is rounded to."""

    def round(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The exported weight (float32, in its shape), and where a straight-through gradient passes (bool)."""
        ...


@dataclass(frozen=True, slots=True)
class RowGrid:
    """The integer grid with one scale per row. ``codes`` is the exporter's own."""

    info: TensorInfo
    bits: int
    codes: Codes

    def scale(self, w_RC: Tensor) -> Tensor:
        """The float16 scales [R] under which ``w_RC`` would be exported."""
        return self.codes(w_RC, self.bits, self.info).scale_R

    def round(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient passes where the code is not clipped: up to half a step beyond the last code.

        That includes the largest weight of a row whose scale is its maximum's, whichever way float16 rounded
        the scale; no such weight is cut off from learning.
        """
        w_RC = as_rows(weight)
        rows = self.codes(w_RC, self.bits, self.info)
        clip_R1 = (qmax(self.bits) + 0.5) * rows.scale_R.float()[:, None]
        value_RC = dequantize_rows(rows.q_RC, rows.scale_R)
        return value_RC.reshape(weight.shape), (w_RC.abs() <= clip_R1).reshape(weight.shape)


@dataclass(frozen=True, slots=True)
class ThroughExport:
    """Whatever the quantizer stores for this tensor, decoded again; on the CPU, also for weights on a GPU."""

    quantizer: Quantizer
    name: str
    spec: ParamSpec

    def round(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient passes everywhere: these quantizers clip nothing, they keep a sign and a level."""
        stored = self.quantizer.quantize({self.name: weight}, {self.name: self.spec})
        value = self.quantizer.dequantize(stored)[self.name]
        return value.to(weight.device), torch.ones_like(weight, dtype=torch.bool)


def grid_plan(quantizer: Quantizer, model: nn.Module, device: str) -> dict[str, Grid]:
    """The grid of every tensor that will be rounded, by name; ``device`` is the option's name, for messages.

    Raises ConfigError where there is none, or where only the end of the training decides on it.
    """
    if not quantizer.each_tensor_alone:
        return dict(row_grids(quantizer, model, device))
    specs = _specs(model)
    return {name: ThroughExport(quantizer, name, specs[name]) for name in gridded(quantizer, model, device)}


def row_grids(quantizer: Quantizer, model: nn.Module, device: str) -> dict[str, RowGrid]:
    """The same for devices that need the steps of an integer grid. Ternary and binary quantizers have none."""
    names = gridded(quantizer, model, device)
    pipeline: Pipeline | None = quantizer.pipeline
    if pipeline is None:
        raise ConfigError(
            f"qat={device} needs an integer grid; {type(quantizer).__name__} has levels per group. "
            "qat=ste works with it"
        )
    _refuse_unknown(quantizer, pipeline, device)
    infos = _infos(model)
    treatments = pipeline.policy.treatments(infos, evidence=None)
    nearest = pipeline.nearest({})
    return {
        i.name: RowGrid(
            i, treatments[i.name].bits, row_maximum if treatments[i.name].to_row_maximum else nearest
        )
        for i in infos
        if i.name in names
    }


def gridded(quantizer: Quantizer, model: nn.Module, device: str) -> list[str]:
    """Names of the tensors that will be rounded, in order. Raises ConfigError where there are none."""
    pipeline, specs = quantizer.pipeline, _specs(model)
    names: list[str] = []
    if pipeline is not None:
        treatments = pipeline.policy.treatments(_infos(model), evidence=None)
        names = [name for name, treatment in treatments.items() if treatment.scheme == "grid"]
    elif quantizer.each_tensor_alone:
        names = [name for name, spec in specs.items() if spec.storage in ("matrix", "embedding")]
    if not names:
        raise ConfigError(
            f"qat={device}: there is no grid; {type(quantizer).__name__} stores every weight as it is. "
            "Choose qat=none, or a quantizer that rounds"
        )
    return sorted(names)


def _refuse_unknown(quantizer: Quantizer, pipeline: Pipeline, device: str) -> None:
    """Grids that depend on the trained weights' Hessians or on the packed size are not there yet."""
    problems = [
        f"qat={device}: quant/{place}={type(child).__name__} decides after training, from Hessians; training "
        "cannot round to a grid that is not known. Choose another, or qat=none"
        for place, child in (("policy", pipeline.policy), ("scale", pipeline.scale))
        if child.needs_hessians
    ]
    if quantizer.target_bytes is not None:
        problems.append(
            f"qat={device}: quant.target_bytes multiplies every k after training, so training would round to "
            "steps of another size. Take a quantizer whose steps are known, such as quant=int5_rtn, or qat=none"
        )
    if problems:
        raise ConfigError(problems)


def _specs(model: nn.Module) -> dict[str, ParamSpec]:
    """Specs of the parameters under their owners' names: aliases are stored nowhere."""
    specs: Mapping[str, ParamSpec] = model.param_specs()  # type: ignore[operator]
    return {name: specs[name] for name, _ in model.named_parameters()}


def _infos(model: nn.Module) -> list[TensorInfo]:
    return tensor_infos(
        _specs(model), {name: parameter.shape for name, parameter in model.named_parameters()}
    )
