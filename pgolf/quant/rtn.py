"""Round each weight to the nearest point of a symmetric grid with one float16 scale per row.

Formula: s_r = fp16(quantile(|W_r|, clip_percentile) / qmax), q = clamp(round(W / s), -qmax, qmax), What = q s,
    qmax = 2^(bits-1) - 1.
Source: the int8 baseline of the parameter-golf challenge; its int6 form is PR #687's first step.
Cost in bytes: about H0 = log2(sigma/s) + 2.05 bits per weight after entropy coding, where sigma is the row's
    standard deviation (int6 on Gaussian rows: 5.32 bits at 512 columns, 5.48 at 160, where the row maximum is
    nearer; two bits more at int8, one fewer at int5), plus 2 per row.
Cost in step time: none; about 0.1 s per ten million weights at the end.
When it hurts: below 6 bits, where errors that GPTQ would let cancel are left as they fall; and a percentile
    below (C-1)/C clips the largest weight of each row of C, which buys a finer step and therefore *more* bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.core.results import ParamSpec, QuantizedState, StoredTensor
from pgolf.quant import stored
from pgolf.quant.errors import NonFiniteWeight
from pgolf.quant.forecast import row_maximum_bits
from pgolf.quant.grid import as_rows, quantize_rows, row_clip, row_count, row_scale
from pgolf.quant.walk import KEEP_ROLE, keep, walk

KeepDtype = Literal["by_role", "fp32", "fp16"]


class RTN:
    """``quant=rtn``, presets int8_rtn and int6_rtn.

    What is quantized is decided by storage role alone: ``matrix`` with ``bits``, ``embedding`` with
    ``embedding_bits``; ``keep_fp32`` and ``keep_fp16`` pass through as their role says, or all in the
    dtype that ``keep`` names. The number of elements never matters.
    """

    def __init__(
        self,
        *,
        bits: Annotated[int, Between(2, 8)],
        embedding_bits: Annotated[int, Between(2, 8)],
        clip_percentile: Annotated[float, Between(0, 1, open_low=True)],
        scale_floor: Literal["smallest_normal", "legacy"],
        keep: KeepDtype,
    ) -> None:
        self.bits = bits
        self.embedding_bits = embedding_bits
        self.clip_percentile = clip_percentile
        self.scale_floor: Literal["smallest_normal", "legacy"] = scale_floor
        self.keep = keep

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
    ) -> QuantizedState:
        """Raises UnknownTensor, NonFiniteWeight, ConflictingAlias."""
        return walk(state, specs, self._store, aliases)

    def dequantize(self, state: QuantizedState) -> dict[str, Tensor]:
        """Every name to its float32 tensor, aliases included."""
        return stored.dequantize(state)

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int]) -> float:
        """Expected bytes of a tensor of Gaussian rows, scales included, before any compressor's overhead."""
        weights, rows = math.prod(shape), row_count(shape)
        if spec.storage in ("matrix", "embedding"):
            bits = self.bits if spec.storage == "matrix" else self.embedding_bits
            return weights * row_maximum_bits(bits, weights // max(1, rows)) / 8 + 2 * rows
        return weights * (2 if self._keeps_half(spec) else 4)

    def _keeps_half(self, spec: ParamSpec) -> bool:
        return spec.storage == "keep_fp16" if self.keep == "by_role" else self.keep == "fp16"

    def _store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor:
        if spec.storage == "matrix":
            return self._on_grid(name, weight, spec.component, self.bits)
        if spec.storage == "embedding":
            return self._on_grid(name, weight, spec.component, self.embedding_bits)
        return keep(name, weight, KEEP_ROLE, torch.float16 if self._keeps_half(spec) else torch.float32)

    def _on_grid(self, name: str, weight: Tensor, role: str, bits: int) -> StoredTensor:
        w_RC = as_rows(weight.to(torch.float32))
        scale_R = row_scale(row_clip(w_RC, self.clip_percentile), bits, self.scale_floor)
        if not bool(torch.isfinite(scale_R).all()):
            raise NonFiniteWeight(
                name, f"weights up to {float(w_RC.abs().max()):g} need a scale beyond float16"
            )
        q_RC = quantize_rows(w_RC, scale_R, bits)
        return StoredTensor(
            name=name,
            role=role,
            scheme="grid",
            shape=tuple(weight.shape),
            bits=bits,
            q=q_RC.reshape(weight.shape).cpu().numpy(),
            scale=scale_R.cpu().numpy(),
        )
