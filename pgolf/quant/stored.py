"""From stored tensors back to float32 weights; what evaluation needs of the quantizers, and nothing more."""

# R rows, C columns, K rank of a correction

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pgolf.core.errors import did_you_mean
from pgolf.core.results import QuantizedState
from pgolf.quant.errors import UnknownTensor
from pgolf.quant.schemes import SCHEMES

CORRECTION_ROLE = "lqer"
MAX_RANK = 64  # of a correction; a larger one would cost more time to apply than any is worth


def dequantize(state: QuantizedState) -> dict[str, Tensor]:
    """Every name to its float32 tensor on the CPU, corrections applied; an alias is the very same object as its
    owner, and the factors of corrections are no weights and left out."""
    weights = {tensor.name: SCHEMES[tensor.scheme].decode(tensor) for tensor in state.tensors}
    for name, (left, right) in sorted(state.corrections.items()):
        weights[name] += low_rank(weights.pop(left), weights.pop(right))
    for alias, owner in state.aliases.items():
        weights[alias] = weights[owner]
    return weights


def low_rank(left_RK: Tensor, right_KC: Tensor) -> Tensor:
    """``left @ right`` [R, C], summed one rank after another, so that every machine gets the same bits.

    A matrix product would sum in an order that depends on the library and on the number of threads.
    """
    product_RC = left_RK.new_zeros(left_RK.shape[0], right_KC.shape[1])
    for rank in range(left_RK.shape[1]):
        product_RC += left_RK[:, rank, None] * right_KC[rank]
    return product_RC


def dequantize_for(state: QuantizedState, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``dequantize``, held to a model: ``expected`` is its ``state_dict()``.

    Raises UnknownTensor for a stored tensor the model does not have, for a tensor of the model that is not
    stored, and for a shape that differs. Nothing is skipped.
    """
    weights = dequantize(state)
    for name, value in weights.items():
        if name not in expected:
            hint = did_you_mean(name, list(expected))
            raise UnknownTensor(name, f"it is in the artifact, but not in the model.{hint}")
        if value.shape != expected[name].shape:
            shapes = f"{list(value.shape)} in the artifact, {list(expected[name].shape)} in the model"
            raise UnknownTensor(name, f"its shape is {shapes}")
    for name in expected:
        if name not in weights:
            hint = did_you_mean(name, list(weights))
            raise UnknownTensor(name, f"it is in the model, but not in the artifact.{hint}")
    return weights
