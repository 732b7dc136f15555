"""What quantization lost, and the two stored factors that give part of it back: shared by the low-rank corrections."""

# R rows, C columns, K rank

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pgolf.core.results import QuantizedState, StoredTensor
from pgolf.quant.errors import BadHessian, UnknownTensor
from pgolf.quant.schemes import SCHEMES
from pgolf.quant.stored import CORRECTION_ROLE, low_rank
from pgolf.quant.tensor_info import TensorInfo

_LOSSLESS = ("fp32", "fp16")  # or as good as that


@dataclass(frozen=True, slots=True)
class Residual:
    """``error_RC`` = W - What, float32; ``hessian_CC`` of the inputs, where there is one."""

    tensor: StoredTensor
    error_RC: Tensor
    hessian_CC: Tensor | None

    def loss(self, error_RC: Tensor) -> float:
        """Squared error at the layer's output over the calibration data, or of the weights without one."""
        if self.hessian_CC is None:
            return float(error_RC.square().sum(dtype=torch.float64))
        return float(((error_RC @ self.hessian_CC) * error_RC).sum(dtype=torch.float64))

    def left(self, scheme: str, bits: int, codes_RK: Tensor, scale: Tensor) -> StoredTensor:
        return self._factor("left", scheme, bits, codes_RK, scale)

    def right(self, scheme: str, bits: int, codes_KC: Tensor, scale: Tensor) -> StoredTensor:
        return self._factor("right", scheme, bits, codes_KC, scale)

    def _factor(self, side: str, scheme: str, bits: int, codes: Tensor, scale: Tensor) -> StoredTensor:
        arrays = {"q": codes.cpu().numpy(), "scale": scale.cpu().numpy()}
        return StoredTensor(
            f"{self.tensor.name}.lqer_{side}", CORRECTION_ROLE, scheme, tuple(codes.shape), arrays, bits
        )

    def loss_after(self, factors: tuple[StoredTensor, StoredTensor]) -> float:
        """The loss that remains once the factors, as they will be decoded, are added."""
        left_RK, right_KC = (value_of(factor).to(self.error_RC) for factor in factors)
        return self.loss(self.error_RC - low_rank(left_RK, right_KC))


def value_of(tensor: StoredTensor) -> Tensor:
    """What ``tensor`` decodes to: float32 on the CPU."""
    return SCHEMES[tensor.scheme].decode(tensor)


def widest(tensors: Sequence[TensorInfo], top_k: int, rank: int) -> list[tuple[int, int]]:
    """Rows and columns of the matrices that a correction is likely to choose: the ``top_k`` of most weights."""
    shapes = [(t.shape[0], t.shape[1]) for t in tensors if len(t.shape) == 2 and min(t.shape) >= rank]
    return sorted(shapes, key=lambda shape: -shape[0] * shape[1])[:top_k]


def residuals(
    weights: Mapping[str, Tensor], state: QuantizedState, hessians: Mapping[str, Tensor], rank: int
) -> list[Residual]:
    """One for each quantized matrix that has room for a correction of ``rank``, in the order of the names.

    Raises UnknownTensor for a stored matrix without weights, BadHessian for one of another size.
    """
    taken = {name for pair in state.corrections.values() for name in pair} | set(state.corrections)
    found = []
    for tensor in sorted(state.tensors, key=lambda tensor: tensor.name):
        name, shape = tensor.name, tensor.shape
        if tensor.scheme in _LOSSLESS or len(shape) != 2 or min(shape) < rank or name in taken:
            continue
        if name not in weights:
            raise UnknownTensor(name, "it was quantized, but the weights it came from are not there to correct it")
        weight_RC = weights[name].detach().to(torch.float32)
        assert weight_RC.shape == shape, f"{name}: {list(weight_RC.shape)} was not stored as {list(shape)}"
        hessian_CC = hessians.get(name)
        if hessian_CC is not None:
            if tuple(hessian_CC.shape) != (shape[1], shape[1]):
                raise BadHessian(name, f"it is {list(hessian_CC.shape)}, the weights are {list(shape)}")
            hessian_CC = hessian_CC.to(weight_RC)
        found.append(Residual(tensor, weight_RC - value_of(tensor).to(weight_RC.device), hessian_CC))
    return found


def largest(found: Sequence[Residual], top_k: int, size: Callable[[Residual], float]) -> list[Residual]:
    """The ``top_k`` of the largest ``size``; ties by name."""
    sizes = {residual.tensor.name: size(residual) for residual in found}
    return sorted(found, key=lambda r: (-sizes[r.tensor.name], r.tensor.name))[:top_k]


def with_factors(
    state: QuantizedState, chosen: Sequence[tuple[Residual, tuple[StoredTensor, StoredTensor]]]
) -> QuantizedState:
    """``state`` with those factors that lower the loss of their matrix; the others are dropped."""
    kept = {
        residual.tensor.name: pair
        for residual, pair in chosen
        if residual.loss_after(pair) < residual.loss(residual.error_RC)
    }
    tensors = sorted((*state.tensors, *(t for pair in kept.values() for t in pair)), key=lambda t: t.name)
    names = {name: (left.name, right.name) for name, (left, right) in kept.items()}
    return replace(state, tensors=tuple(tensors), corrections={**state.corrections, **names})


def with_settled_signs(left_RK: Tensor, right_KC: Tensor) -> tuple[Tensor, Tensor]:
    """Both factors with the largest entry of each column of ``left`` positive: an SVD leaves the sign to chance."""
    at_K = left_RK.abs().argmax(dim=0, keepdim=True)
    sign_K = torch.where(left_RK.gather(0, at_K)[0] < 0, -1.0, 1.0).to(left_RK)
    return left_RK * sign_K, right_KC * sign_K[:, None]
