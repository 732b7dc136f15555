"""From weights to the bytes of an artifact: quantized once, or as often as it takes to meet ``quant.target_bytes``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from pgolf.artifact import container
from pgolf.core.protocols import Compressor
from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant.calibration.form import Calibration

TARGET = "pgolf.quant.target"


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

    target = import_module(TARGET)  # by name: a bundle whose run has no target does not carry it

    def pack(state: QuantizedState) -> Any:
        data = encode(state)
        total = total_bytes(data)
        return target.Weighed(
            data, total, f"{len(data):,} of them the artifact, {total - len(data):,} the rest"
        )

    hit = target.quantize_to_target(quantizer, weights, specs, aliases, calibration, pack)
    return hit.weighed.packed
