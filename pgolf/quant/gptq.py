"""Round column by column, and let the columns still to come make up for what each one lost (full-Hessian GPTQ).

Formula: H = Σ x xᵀ + damping · mean(diag H) · I, H⁻¹ = UᵀU; columns by falling diag H (``act_order``):
    q_j = clamp(round(w_j / s)), W_{j:} −= (w_j − s q_j) / U_jj ⊗ U_{j, j:}. Of several scales of ``quant/scale`` each
    row (or tensor) takes the one with the least (w − ŵ) H (w − ŵ)ᵀ. Codes that ``quant/pruning`` holds at 0 are made up
    for like any other loss.
Source: Frantar et al. 2022; PRs #1019, #1060, #1204, #1394 (the tied embedding as the head's matrix); spec quant §3.
    The published runs damp twice, once of that unnoticed, and choose scales by the plain squared error of a whole
    tensor, which GPTQ makes 2.5 times larger on purpose.
Cost in bytes: those of rounding to nearest, up to 0.02 bit a weight more.
Cost in step time: none; the calibration, and about 0.4 s per million weights on one core at the end (five scales).
When it hurts: with too little calibration text, and in matrices that calibration does not see as evaluation does.
    The tied embedding is optimised for its role as the head; what that does to look-ups is not weighed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor

from pgolf.core.errors import did_you_mean
from pgolf.core.make import make
from pgolf.core.ranges import Between, PositiveInt
from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant.errors import BadHessian, MissingHessian, UnknownTensor
from pgolf.quant.gptq_solver import Factor, Report, factor_hessian, solve
from pgolf.quant.grid_quantizer import GridQuantizer
from pgolf.quant.pass_through import KeepDtype
from pgolf.quant.pipeline import Codes, GridSettings, RowCodes, choose
from pgolf.quant.tensor_info import Roles, TensorInfo

if TYPE_CHECKING:
    from pgolf.quant.calibration.base import Calibration, CalibrationSource


class GPTQ(GridQuantizer):
    """``quant=gptq``. ``report`` gets a line where a Hessian needed stronger damping; by default a warning."""

    def __init__(
        self,
        *,
        bits: Annotated[int, Between(2, 8)],
        embedding_bits: Annotated[int, Between(2, 8)],
        scale: Mapping[str, Any],
        policy: Mapping[str, Any],
        pruning: Mapping[str, Any],
        correction: Mapping[str, Any],
        calibration: Mapping[str, Any],
        damping: Annotated[float, Between(0, 1, open_low=True)],
        block_columns: PositiveInt,
        act_order: bool,
        keep: KeepDtype,
        target_bytes: PositiveInt | None,
    ) -> None:
        roles = Roles(bits, embedding_bits, keep)
        super().__init__(GridSettings(roles, scale, policy, pruning, correction, target_bytes))
        self.calibration_source: CalibrationSource = make(calibration)
        self.damping, self.block_columns, self.act_order = damping, block_columns, act_order
        self.report: Report = warnings.warn

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: Calibration | None = None,
    ) -> QuantizedState:
        """Raises UnknownTensor, NonFiniteWeight, ConflictingAlias, MissingHessian, BadHessian, HessianNotPD."""
        hessians = _hessians(calibration, state)
        lookups = frozenset[str]() if calibration is None else calibration.lookups
        return self.pipeline.run(state, specs, aliases, hessians, self._codes(hessians, lookups))

    def estimate_bytes(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: Calibration | None = None,
    ) -> float:
        """Bytes of the result by entropy, without a compressor and without GPTQ, which changes it little."""
        return self.pipeline.estimate_bytes(state, specs, aliases, _hessians(calibration, state))

    def _codes(self, hessians: Mapping[str, Tensor], lookups: frozenset[str]) -> Codes:
        factors: dict[int, Factor] = {}  # by object: maps that read the same inputs share one Hessian
        nearest = self.pipeline.nearest(hessians)

        def codes(w_RC: Tensor, bits: int, info: TensorInfo) -> RowCodes:
            hessian_CC = hessians.get(info.name)
            if hessian_CC is None:
                # kept by role: a policy asked for its size alone, and scores may be made without a product with it;
                # all zero: the matrices of repeats that were never switched on
                if info.name in lookups or info.kept_by_role or not bool(w_RC.any()):
                    return nearest(w_RC, bits, info)
                raise MissingHessian(info.name)
            if hessian_CC.shape != (w_RC.shape[1], w_RC.shape[1]):
                raise BadHessian(info.name, f"it is {list(hessian_CC.shape)}, the matrix is {list(w_RC.shape)}")
            if not w_RC.numel():
                return nearest(w_RC, bits, info)
            if id(hessian_CC) not in factors:
                factors[id(hessian_CC)] = factor_hessian(
                    info.name,
                    hessian_CC,
                    damping=self.damping,
                    act_order=self.act_order,
                    report=self.report,
                )
            return self._solve(w_RC.to(hessian_CC.device), bits, info, hessian_CC, factors[id(hessian_CC)])

        return codes

    def _solve(self, w_RC: Tensor, bits: int, info: TensorInfo, hessian_CC: Tensor, factor: Factor) -> RowCodes:
        scale_KR = torch.stack(self.pipeline.scales(w_RC, bits, info, hessian_CC))
        zero_RC = self.pipeline.pruning.zero_codes(w_RC, info)
        q_KRC, loss_KR = solve(w_RC, scale_KR, bits, factor, block_columns=self.block_columns, zero_RC=zero_RC)
        rows = [RowCodes(q_RC, scale_R) for q_RC, scale_R in zip(q_KRC, scale_KR, strict=True)]
        return choose(rows, loss_KR, per_tensor=self.pipeline.scale.per_tensor)


def _hessians(calibration: Calibration | None, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The Hessians, each of a tensor of ``state``. Raises UnknownTensor, BadHessian where nothing was read."""
    if calibration is None:
        return {}
    for name in calibration.hessians:
        if name not in state:
            raise UnknownTensor(name, f"calibration saw it, but it has no weights.{did_you_mean(name, list(state))}")
        if calibration.tokens < 1:
            raise BadHessian(name, "calibration read no tokens")
    return calibration.hessians
