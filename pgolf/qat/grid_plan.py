"""The grid a run will export to, as far as training can know it: what methods of training round to.

Bits come from the quantizer's policy and scales from its own rule, applied to the weights of the moment by
the code that the exporter runs, with the zeros that quant/pruning=magnitude_mask holds. For quant=rtn and its
presets the rounded weights are the exported ones bit for bit, on the same kind of processor (row deviations are
sums, whose last bit may differ between a GPU and the CPU that exports), but for two things that only the exporter
does: quant/pruning=magnitude (quant=pr860), which zeroes weights before it rounds, and quant/correction. Ternary and
binary quantizers round through their own export. For quant=gptq the grid agrees and the codes do not: GPTQ rounds
later columns to make up for earlier ones, and of several candidate scales it takes the one with the least
Hessian-weighted error.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.protocols import Model, Quantizer
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
        # The exporter's own function on this step's weights, scales and all: a second way of computing the same
        # would differ in the last bit somewhere, and at a rounding boundary that is a whole step.
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


def grid_plan(quantizer: Quantizer, model: Model, method: str) -> dict[str, Grid]:
    """The grid of every tensor that will be rounded, by name; ``method`` is the option's name, for messages.

    Raises ConfigError where there is none, or where only the end of the training decides on it.
    """
    if not quantizer.trains_through_export:
        return dict(row_grids(quantizer, model, method))
    specs = _specs(model)
    return {name: ThroughExport(quantizer, name, specs[name]) for name in gridded(quantizer, model, method)}


def row_grids(quantizer: Quantizer, model: Model, method: str) -> dict[str, RowGrid]:
    """The same for methods that need the steps of an integer grid. Ternary and binary quantizers have none."""
    pipeline = _integer_grid(quantizer, model, method)
    problems = [*_bits_unknown(pipeline, method), *_steps_unknown(quantizer, pipeline, method)]
    if problems:
        raise ConfigError(problems)
    infos, names = _infos(model), gridded(quantizer, model, method)
    treatments = pipeline.policy.treatments(infos, evidence=None)
    # Without Hessians: no scale that would read them has come this far.
    nearest = pipeline.nearest({})
    return {
        i.name: RowGrid(i, treatments[i.name].bits, row_maximum if treatments[i.name].to_row_maximum else nearest)
        for i in infos
        if i.name in names
    }


def grid_bits(quantizer: Quantizer, model: Model, method: str) -> dict[str, int]:
    """The bits of every tensor that will be rounded, by name, for methods that take the steps from elsewhere.

    Raises ConfigError where the levels are not an integer grid's, or where the trained weights decide on the bits.
    """
    pipeline = _integer_grid(quantizer, model, method)
    problems = _bits_unknown(pipeline, method)
    if problems:
        raise ConfigError(problems)
    treatments = pipeline.policy.treatments(_infos(model), evidence=None)
    return {name: treatments[name].bits for name in gridded(quantizer, model, method)}


def gridded(quantizer: Quantizer, model: Model, method: str) -> list[str]:
    """Names of the tensors that will be rounded, in order. Raises ConfigError where there are none."""
    pipeline, specs = quantizer.pipeline, _specs(model)
    names: list[str] = []
    if pipeline is not None:
        # Without evidence a policy names the same tensors as with it: evidence only decides on their bits.
        treatments = pipeline.policy.treatments(_infos(model), evidence=None)
        names = [name for name, treatment in treatments.items() if treatment.scheme == "grid"]
    elif quantizer.trains_through_export:
        names = [name for name, spec in specs.items() if spec.storage in ("matrix", "embedding")]
    if not names:
        raise ConfigError(
            f"qat={method}: there is no grid; {type(quantizer).__name__} stores every weight as it is. "
            "Choose qat=none, or a quantizer that rounds"
        )
    return sorted(names)


def linear_layers(names: Iterable[str], model: Model) -> list[str]:
    """Those of ``names`` that are matrices of linear layers, not tables and not gates, in order."""
    specs = _specs(model)
    return [name for name in names if specs[name].storage == "matrix"]


def _integer_grid(quantizer: Quantizer, model: Model, method: str) -> Pipeline:
    gridded(quantizer, model, method)  # ConfigError where nothing is rounded at all
    pipeline = quantizer.pipeline
    if pipeline is None:
        raise ConfigError(
            f"qat={method} needs an integer grid; {type(quantizer).__name__} has levels per group. "
            "qat=ste works with it"
        )
    return pipeline


def _bits_unknown(pipeline: Pipeline, method: str) -> list[str]:
    return [_decides_later("policy", pipeline.policy, method)] if pipeline.policy.needs_hessians else []


def _steps_unknown(quantizer: Quantizer, pipeline: Pipeline, method: str) -> list[str]:
    problems = [_decides_later("scale", pipeline.scale, method)] if pipeline.scale.needs_hessians else []
    if quantizer.target_bytes is not None:
        problems.append(
            f"qat={method}: quant.target_bytes multiplies every k after training, so training would round to "
            "steps of another size. Take a quantizer whose steps are known, such as quant=int5_rtn, or qat=none"
        )
    return problems


def _decides_later(place: str, child: object, method: str) -> str:
    return (
        f"qat={method}: quant/{place}={type(child).__name__} decides after training, from Hessians; training "
        "cannot round to a grid that is not known. Choose another, or qat=none"
    )


def _specs(model: Model) -> dict[str, ParamSpec]:
    """Specs of the parameters under their owners' names: aliases are stored nowhere."""
    specs: Mapping[str, ParamSpec] = model.param_specs()
    return {name: specs[name] for name, _ in model.named_parameters()}


def _infos(model: Model) -> list[TensorInfo]:
    return tensor_infos(_specs(model), {name: parameter.shape for name, parameter in model.named_parameters()})
