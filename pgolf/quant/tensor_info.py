"""What the parts of a quantizer tell each other about a tensor: what it is, the treatment chosen, the evidence for
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.results import ParamSpec
from pgolf.quant.pass_through import KeepDtype, stays_half


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as policies and scales see it; ``layers`` is how many physical layers the model has."""

    name: str
    spec: ParamSpec
    shape: tuple[int, ...]
    layers: int

    @property
    def layer(self) -> int | None:
        """Its physical layer; None outside of the layers."""
        return self.spec.layer

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def is_matrix(self) -> bool:
        return self.spec.storage == "matrix"

    @property
    def kept_by_role(self) -> bool:
        return self.spec.storage in ("keep_fp32", "keep_fp16")


@dataclass(frozen=True, slots=True)
class Treatment:
    """How a tensor is stored: on the grid of ``bits``, or as float16 or float32 with ``bits`` 0.

    ``to_row_maximum``: its grid ends at the row maximum, whatever ``quant/scale`` and the quantizer do with matrices.
    """

    scheme: Literal["grid", "fp16", "fp32"]
    bits: int = 0
    to_row_maximum: bool = False


@dataclass(frozen=True, slots=True)
class Roles:
    """What a quantizer does by storage role alone; policies start from it. The number of elements never matters.

    ``matrix`` is quantized with ``bits``, ``embedding`` with ``embedding_bits``; ``keep_fp32`` and ``keep_fp16``
    pass as their role says, or all in the dtype that ``keep`` names.
    """

    bits: int
    embedding_bits: int
    keep: KeepDtype

    def treatment(self, spec: ParamSpec) -> Treatment:
        if spec.storage == "matrix":
            return Treatment("grid", self.bits)
        if spec.storage == "embedding":
            return Treatment("grid", self.embedding_bits)
        return Treatment("fp16" if stays_half(spec, self.keep) else "fp32")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a policy may measure once there are weights.

    ``error(name, bits)`` is tr((W-What) H (W-What)ᵀ) after rounding to nearest, ``bytes(name, bits)`` the entropy
    of the codes plus the scales, in bytes.
    """

    weights: Mapping[str, Tensor]
    hessians: Mapping[str, Tensor]
    error: Callable[[str, int], float]
    bytes: Callable[[str, int], float]


def tensor_infos(specs: Mapping[str, ParamSpec], shapes: Mapping[str, Sequence[int]]) -> list[TensorInfo]:
    """What is known of every tensor in ``shapes``, in the order of their names."""
    numbers = (specs[name].layer for name in shapes)
    layers = 1 + max((number for number in numbers if number is not None), default=-1)
    return [TensorInfo(name, specs[name], tuple(shapes[name]), layers) for name in sorted(shapes)]


def check_components(place: str, names: Sequence[str], tensors: Sequence[TensorInfo]) -> None:
    """Raise ConfigError where ``names`` holds a component that no matrix of the model has."""
    known = sorted({t.spec.component for t in tensors if t.is_matrix})
    for name in names:
        if name not in known:
            raise ConfigError(f"{place}.{name}: no matrix of that component; there are {', '.join(known)}")
