"""Round each weight to the nearest point of a symmetric grid with one float16 scale per row.

Formula: q = clamp(round(W / s), -qmax, qmax), What = q s, qmax = 2^(bits-1) - 1; s is ``quant/scale``'s, of several
    the one with the least squared error in each row (or tensor), which is GPTQ-lite.
Source: the int8 baseline of the parameter-golf challenge; its int6 form is PR #687's first step; GPTQ-lite PR #414.
Cost in bytes: about H0 = log2(sigma/s) + 2.05 bits per weight after entropy coding, where sigma is the row's
    standard deviation, plus 2 per row.
Cost in step time: none; about 0.1 s per ten million weights and scale at the end.
When it hurts: below 6 bits, where errors that GPTQ would let cancel are left as they fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor

from pgolf.core.ranges import Between, PositiveInt
from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant.grid_quantizer import GridQuantizer
from pgolf.quant.pass_through import KeepDtype
from pgolf.quant.pipeline import GridSettings
from pgolf.quant.tensor_info import Roles


class RTN(GridQuantizer):
    """``quant=rtn``. What is quantized is decided by storage role, then by ``policy``."""

    def __init__(
        self,
        *,
        bits: Annotated[int, Between(2, 8)],
        embedding_bits: Annotated[int, Between(2, 8)],
        scale: Mapping[str, Any],
        policy: Mapping[str, Any],
        pruning: Mapping[str, Any],
        correction: Mapping[str, Any],
        keep: KeepDtype,
        target_bytes: PositiveInt | None,
    ) -> None:
        roles = Roles(bits, embedding_bits, keep)
        super().__init__(GridSettings(roles, scale, policy, pruning, correction, target_bytes))
        self.pipeline.refuse_hessians()

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: object = None,
    ) -> QuantizedState:
        """Raises UnknownTensor, NonFiniteWeight, ConflictingAlias. Has no use for a calibration."""
        return self.pipeline.run(state, specs, aliases, {}, self.pipeline.nearest({}))

    def estimate_bytes(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: object = None,
    ) -> float:
        """Bytes of the result by entropy, without a compressor."""
        return self.pipeline.estimate_bytes(state, specs, aliases, {})
