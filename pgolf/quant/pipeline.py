"""What the quantizers onto the row-wise grid share: pruning, policy, scales, passing tensors, the
correction, the forecast.

A quantizer supplies only ``codes(w_RC, bits, info) -> RowCodes``; the rest of the way from a state dict to stored
tensors is here.

Shapes: R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.results import ParamSpec, QuantizedState, StoredTensor
from pgolf.quant.correction.base import Correction
from pgolf.quant.entropy import FLOAT_BITS, SCALE_BYTES, code_bits, stored_bytes
from pgolf.quant.errors import MissingHessian
from pgolf.quant.forecast import row_maximum_bits
from pgolf.quant.grid import as_rows, dequantize_rows, quantize_rows, row_count
from pgolf.quant.policy.base import Policy
from pgolf.quant.pruning.base import Pruning
from pgolf.quant.row_codes import RowCodes, check_scales, up_to_row_maximum
from pgolf.quant.scale.base import Scale
from pgolf.quant.state_walk import KEEP_ROLE, keep, owners_of
from pgolf.quant.stored import CORRECTION_ROLE
from pgolf.quant.tensor_info import Evidence, Roles, TensorInfo, Treatment, tensor_infos

Codes = Callable[[Tensor, int, TensorInfo], RowCodes]


@dataclass(frozen=True, slots=True)
class GridSettings:
    """What every quantizer onto the grid is given: its roles, the nodes of its children, the size to hit or None."""

    roles: Roles
    scale: Mapping[str, Any]
    policy: Mapping[str, Any]
    pruning: Mapping[str, Any]
    correction: Mapping[str, Any]
    target_bytes: int | None


class Pipeline:
    """Builds the children and asks each in its turn. Raises ConfigError where they do not fit each other."""

    def __init__(self, settings: GridSettings) -> None:
        self.roles = settings.roles
        self.scale: Scale = make(settings.scale)
        self.policy: Policy = make(settings.policy, roles=settings.roles)
        self.pruning: Pruning = make(settings.pruning)
        self.correction: Correction = make(settings.correction)
        if settings.target_bytes is not None:
            self.scale.times(1.0)  # ConfigError where nothing could be adjusted

    def refuse_hessians(self) -> None:
        """Raise ConfigError where a child needs what a quantizer without calibration does not have."""
        children: dict[str, Scale | Policy | Correction] = {
            "scale": self.scale,
            "policy": self.policy,
            "correction": self.correction,
        }
        wanting = [place for place, child in children.items() if child.needs_hessians]
        if wanting:
            raise ConfigError(
                f"quant/{place}: {type(children[place]).__name__} reads the Hessians that GPTQ collects; "
                "choose another, or quant=gptq"
                for place in wanting
            )

    def times(self, factor: float) -> Pipeline:
        """The same, every k of the scale multiplied."""
        scaled = copy.copy(self)
        scaled.scale = self.scale.times(factor)
        return scaled

    def run(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None,
        hessians: Mapping[str, Tensor],
        codes: Codes,
    ) -> QuantizedState:
        """Store every tensor of ``state`` once. Raises UnknownTensor, NonFiniteWeight, ConflictingAlias."""
        owners = owners_of(state, specs, aliases)
        weights = self._weights(state, specs, owners)
        tensors = self._tensors(weights, specs, hessians, codes)
        stored = QuantizedState(tensors=tensors, aliases=dict(sorted(owners.items())))
        return self.correction.correct(weights, stored, hessians)

    def _weights(
        self, state: Mapping[str, Tensor], specs: Mapping[str, ParamSpec], owners: Mapping[str, str]
    ) -> dict[str, Tensor]:
        """What is rounded or passes, pruned: whoever decides, measures or corrects must see no other weights."""
        weights = {name: state[name].detach() for name in sorted(state) if name not in owners}
        infos = tensor_infos(specs, {name: weight.shape for name, weight in weights.items()})
        return {i.name: self.pruning.pruned(weights[i.name], i) for i in infos}

    def _tensors(
        self,
        weights: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        hessians: Mapping[str, Tensor],
        codes: Codes,
    ) -> tuple[StoredTensor, ...]:
        infos = tensor_infos(specs, {name: weight.shape for name, weight in weights.items()})
        treatments = self._treatments(infos, self._evidence(weights, hessians, infos))
        return tuple(_store(weights[i.name], i, treatments[i.name], codes) for i in infos)

    def estimate_bytes(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None,
        hessians: Mapping[str, Tensor],
    ) -> float:
        """Bytes by entropy after rounding to nearest: quick, and close to any other way onto the same grid.

        Corrections are left out; their size does not depend on the scale.
        """
        owners = owners_of(state, specs, aliases)
        weights = self._weights(state, specs, owners)
        return stored_bytes(self._tensors(weights, specs, hessians, self.nearest(hessians)))

    def nearest(self, hessians: Mapping[str, Tensor]) -> Codes:
        """Round to nearest; of several scales the one with the least squared error, by row or by tensor."""

        def codes(w_RC: Tensor, bits: int, info: TensorInfo) -> RowCodes:
            scales = self.scales(w_RC, bits, info, hessians.get(info.name))
            zero_RC = self.pruning.zero_codes(w_RC, info)
            found = [quantize_rows(w_RC, s, bits) for s in scales]
            if zero_RC is not None:
                found = [q_RC.masked_fill_(zero_RC, 0) for q_RC in found]
            rows = [RowCodes(q_RC, s) for q_RC, s in zip(found, scales, strict=True)]
            return best_of(rows, w_RC, per_tensor=self.scale.per_tensor)

        return codes

    def scales(self, w_RC: Tensor, bits: int, info: TensorInfo, hessian_CC: Tensor | None) -> list[Tensor]:
        """The candidates for this tensor. Raises NonFiniteWeight where float16 overflows."""
        found = self.scale.candidates(w_RC, bits, info, hessian_CC)
        for scale_R in found:
            check_scales(info.name, w_RC, scale_R)
        return found

    def forecast_model(self, specs: Mapping[str, ParamSpec], shapes: Mapping[str, Sequence[int]]) -> dict[str, float]:
        """Expected bytes of every tensor of Gaussian rows, scales included, before any compressor's overhead."""
        infos = tensor_infos(specs, shapes)
        treatments = self._treatments(infos, None)
        forecast = {i.name: self._forecast(i, treatments[i.name]) for i in infos}
        correction_bytes = self.correction.forecast_bytes([i for i in infos if treatments[i.name].scheme == "grid"])
        return forecast | ({CORRECTION_ROLE: correction_bytes} if correction_bytes else {})

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """The same for one tensor by its storage role alone; what a policy does depends on the whole model."""
        (info,) = tensor_infos({name: spec}, {name: shape})
        return self._forecast(info, self.roles.treatment(spec))

    def _forecast(self, info: TensorInfo, treatment: Treatment) -> float:
        weights, rows = info.elements, row_count(info.shape)
        if treatment.scheme != "grid":
            return weights * FLOAT_BITS[treatment.scheme] / 8
        columns, bits = weights // max(1, rows), 0.0
        if weights and treatment.to_row_maximum:
            bits = row_maximum_bits(treatment.bits, columns)
        elif weights:
            bits = self.scale.forecast_bits(treatment.bits, columns, info)
        return weights * bits / 8 + SCALE_BYTES * rows

    def _treatments(self, infos: Sequence[TensorInfo], evidence: Evidence | None) -> dict[str, Treatment]:
        self.scale.check(infos)
        return self.policy.treatments(infos, evidence)

    def _evidence(
        self, weights: Mapping[str, Tensor], hessians: Mapping[str, Tensor], infos: Sequence[TensorInfo]
    ) -> Evidence:
        by_name = {info.name: info for info in infos}
        # to nearest, not by GPTQ: a policy compares widths, and asks for every matrix at two of them
        nearest = self.nearest(hessians)
        measured: dict[tuple[str, int], tuple[float, float]] = {}

        # lazily: by_role asks nothing, trace only for Hessians, and a rounding of every matrix takes seconds
        def measure(name: str, bits: int) -> tuple[float, float]:
            if (name, bits) not in measured:
                w_RC = as_rows(weights[name].to(torch.float32))
                rounded = nearest(w_RC, bits, by_name[name])
                error = _output_error(name, w_RC - dequantize_rows(rounded.q_RC, rounded.scale_R), hessians.get(name))
                # entropy, because what a coder wins back of a wider grid is most of the difference (#1935)
                size = code_bits(rounded.q_RC.cpu().numpy()) / 8 + SCALE_BYTES * len(w_RC)
                measured[name, bits] = error, size
            return measured[name, bits]

        return Evidence(weights, hessians, lambda n, b: measure(n, b)[0], lambda n, b: measure(n, b)[1])


def _output_error(name: str, error_RC: Tensor, hessian_CC: Tensor | None) -> float:
    """tr(E H Eᵀ). Raises MissingHessian where there is an error but no Hessian."""
    if hessian_CC is None:
        # zeros are the matrices of repeats that were never switched on, which calibration cannot have seen
        if bool(error_RC.any()):
            raise MissingHessian(name)
        return 0.0
    return float(((error_RC @ hessian_CC.to(error_RC)) * error_RC).sum(dtype=torch.float64))


def best_of(candidates: Sequence[RowCodes], w_RC: Tensor, *, per_tensor: bool) -> RowCodes:
    """The candidate with the least squared error, the first of equals: row by row, or one for the tensor."""
    if len(candidates) == 1:
        return candidates[0]
    errors = [(w_RC - dequantize_rows(c.q_RC, c.scale_R)).square().sum(dim=1) for c in candidates]
    return choose(candidates, torch.stack(errors), per_tensor=per_tensor)


def choose(candidates: Sequence[RowCodes], error_KR: Tensor, *, per_tensor: bool) -> RowCodes:
    """The candidate with the least of its errors ``error_KR`` [K candidates, R], the first of equals.

    Row by row, or one for all rows: the least sum.
    """
    if per_tensor:
        return candidates[int(error_KR.sum(dim=1, dtype=torch.float64).argmin())]
    best_R = error_KR.argmin(dim=0)
    rows_R = torch.arange(len(best_R), device=best_R.device)
    q_KRC = torch.stack([c.q_RC for c in candidates])
    scale_KR = torch.stack([c.scale_R for c in candidates])
    return RowCodes(q_KRC[best_R, rows_R], scale_KR[best_R, rows_R])


def _store(weight: Tensor, info: TensorInfo, treatment: Treatment, codes: Codes) -> StoredTensor:
    if treatment.scheme != "grid":
        role = KEEP_ROLE if info.kept_by_role else info.spec.component
        return keep(info.name, weight, role, torch.float16 if treatment.scheme == "fp16" else torch.float32)
    w_RC = as_rows(weight.to(torch.float32))
    rows = (row_maximum if treatment.to_row_maximum else codes)(w_RC, treatment.bits, info)
    return rows.stored(info.name, info.spec.component, weight.shape, treatment.bits)


def row_maximum(w_RC: Tensor, bits: int, info: TensorInfo) -> RowCodes:
    """For small matrices that pass by role but that a policy puts on the grid: gates (spec quant §2.6)."""
    return up_to_row_maximum(info.name, w_RC, bits)
