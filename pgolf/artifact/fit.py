"""From weights to the bytes of an artifact: quantized once, or as often as it takes to meet ``quant.target_bytes``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from pgolf.artifact import container
from pgolf.artifact.header import TOKENIZER
from pgolf.build import artifact_header
from pgolf.config.make import make
from pgolf.core.results import QuantizedState
from pgolf.data.dataset import Dataset
from pgolf.quant.calibration.form import Calibration

TARGET = "pgolf.quant.target"


@dataclass(frozen=True, slots=True)
class Fitted:
    """An artifact's bytes, and the factor on every k with which it met its target; None without a target."""

    data: bytes
    k_factor: float | None


def fit(
    cfg: Mapping[str, Any],
    quantizer: Any,
    dataset: Dataset,
    model: nn.Module,
    weights: Mapping[str, Tensor],
    calibration: Calibration | None,
    *,
    code_bytes: int,
) -> Fitted:
    """The artifact for ``weights`` of ``model``. ``code_bytes`` counts against a target as it does in the cap.

    Raises OverBudget where no k brings the submission under the quantizer's target.
    """
    compressor, header = make(cfg["compressor"]), artifact_header(cfg, dataset, model)
    tokenizer_blob, counts_tokenizer = dataset.tokenizer.to_blob(), cfg["budget"]["count_tokenizer"]
    specs, aliases = model.param_specs(), model.aliases()  # type: ignore[operator]

    def encode(state: QuantizedState) -> bytes:
        return container.encode(header, state, tokenizer_blob, compressor)

    if getattr(quantizer, "target_bytes", None) is None:
        return Fitted(encode(quantizer.quantize(weights, specs, aliases, calibration)), None)

    target = import_module(TARGET)  # by name: a bundle whose run has no target does not carry it

    def pack(state: QuantizedState) -> Any:
        data = encode(state)
        counted = len(data) if counts_tokenizer else len(data) - _tokenizer_bytes(data)
        ledger = f"{counted:,} of them the artifact, {code_bytes:,} the code"
        return target.Weighed(data, counted + code_bytes, ledger)

    hit = target.quantize_to_target(quantizer, weights, specs, aliases, calibration, pack)
    return Fitted(hit.weighed.packed, hit.factor)


def _tokenizer_bytes(data: bytes) -> int:
    return container.bytes_by_role(data).get(TOKENIZER, 0)
