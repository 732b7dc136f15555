"""From weights to the bytes of an artifact: quantized once, or as often as it takes to meet ``quant.target_bytes``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from pgolf.artifact import container
from pgolf.core.protocols import Compressor
from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant.calibration.form import Calibration


def fit(
    quantizer: Any,
    compressor: Compressor,
    weights: Mapping[str, Tensor],
    specs: Mapping[str, ParamSpec],
    aliases: Mapping[str, str],
    calibration: Calibration | None,
    *,
    header: Mapping[str, Any],
    tokenizer_blob: bytes,
    total_bytes: Callable[[bytes], int],
) -> bytes:
    """The artifact's bytes. ``total_bytes`` says what a submission with this artifact weighs, code and all.

    Raises OverBudget where no k brings that under the quantizer's target.
    """

    def encode(state: QuantizedState) -> bytes:
        return container.encode(header, state, tokenizer_blob, compressor)

    if getattr(quantizer, "target_bytes", None) is None:
        return encode(quantizer.quantize(weights, specs, aliases, calibration))

    from pgolf.quant.target import Weighed, quantize_to_target

    def pack(state: QuantizedState) -> Weighed[bytes]:
        data = encode(state)
        total = total_bytes(data)
        return Weighed(data, total, f"{len(data):,} of them the artifact, {total - len(data):,} the rest")

    return quantize_to_target(quantizer, weights, specs, aliases, calibration, pack).weighed.packed
