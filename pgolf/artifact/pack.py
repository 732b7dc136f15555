"""From weights to the bytes of an artifact: quantized once, or as often as it takes to meet ``quant.target_bytes``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor

from pgolf.artifact import container
from pgolf.artifact.header import TOKENIZER
from pgolf.core.make import make
from pgolf.core.protocols import Model, Quantizer
from pgolf.core.results import QuantizedState
from pgolf.data.dataset import Dataset
from pgolf.quant.calibration.base import Calibration

TARGET = "pgolf.quant.target"


@dataclass(frozen=True, slots=True)
class Packed:
    """An artifact's bytes, and the factor on every k with which it met its target; None without a target."""

    data: bytes
    k_factor: float | None


def pack(
    cfg: Mapping[str, Any],
    quantizer: Quantizer,
    dataset: Dataset,
    model: Model,
    weights: Mapping[str, Tensor],
    calibration: Calibration | None,
    *,
    code_bytes: int,
) -> Packed:
    """The artifact for ``weights`` of ``model``. ``code_bytes`` counts against a target as it does in the cap.

    Raises OverBudget where no k brings the submission under the quantizer's target.
    """
    compressor, header = make(cfg["compressor"]), artifact_header(cfg, dataset, model)
    tokenizer_blob, counts_tokenizer = dataset.tokenizer.to_blob(), cfg["budget"]["count_tokenizer"]
    packed_blob = packed_counts(cfg, dataset)
    specs, aliases = model.param_specs(), model.aliases()

    def encode(state: QuantizedState) -> bytes:
        return container.encode(header, state, tokenizer_blob, compressor, packed_blob)

    if quantizer.target_bytes is None:
        return Packed(encode(quantizer.quantize(weights, specs, aliases, calibration)), None)

    target = import_module(TARGET)  # by name: a bundle whose run has no target does not carry it

    # Only a whole artifact tells its weight: streams that do not get smaller are kept, so bytes are no sum of parts.
    def weighed(state: QuantizedState) -> Any:
        data = encode(state)
        counted = len(data) if counts_tokenizer else len(data) - _tokenizer_bytes(data)
        ledger = f"{counted:,} of them the artifact, {code_bytes:,} the code"
        return target.Weighed(data, counted + code_bytes, ledger)

    hit = target.quantize_to_target(quantizer, weights, specs, aliases, calibration, weighed)
    return Packed(hit.weighed.packed, hit.factor)


def packed_counts(cfg: Mapping[str, Any], dataset: Dataset) -> bytes:
    """The counts of training text that ``ngram`` wants in the artifact; none, where it does not say how many bytes."""
    if "packed_bytes" not in cfg["ngram"]:
        return b""
    return make(cfg["ngram"]).pack(dataset.stream("train"), dataset.tokenizer.vocab_size)


def check_counts(cfg: Mapping[str, Any], dataset: Dataset) -> None:
    """Raises ConfigError, before training, where the counts are given fewer bytes than any take."""
    if "packed_bytes" in cfg["ngram"]:
        make(cfg["ngram"]).check_room(dataset.stream("train"), dataset.tokenizer.vocab_size)


def _tokenizer_bytes(data: bytes) -> int:
    return container.bytes_by_role(data).get(TOKENIZER, 0)


def artifact_header(cfg: Mapping[str, Any], dataset: Dataset, model: Model) -> dict[str, Any]:
    """Everything evaluation needs and nothing else: no paths, no times (style, "Data flow").

    ``route`` is the visit list that was active when training ended.
    """
    # Whole nodes, since what a decoder needs is theirs to say; seeds, paths and times would make equal runs differ.
    nodes = {name: cfg[name] for name in ("arch", "eval", "ttt", "ngram", "mixer")}
    tokenizer = dataset.tokenizer
    return nodes | {
        "vocab_size": tokenizer.vocab_size,
        "bos_id": tokenizer.bos_id,
        "metric": tokenizer.metric,
        "route": model.active,
    }
