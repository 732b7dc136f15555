"""Each weight as its sign times the mean magnitude of its group: one bit a weight.

Formula: per group of ``group`` flattened elements s = fp16(mean|W|), q = 1 where W >= 0, else -1, What = q s. The
    mean magnitude is the level with the least squared error, (mean|W|)^2 of the energy W^2 kept: 0.64 of a Gaussian.
Source: the binary submission of the parameter-golf challenge (spec quant 2.8: 106.2 M parameters in 15.67 MB, trained
    for two hours); XNOR-Net (Rastegari et al. 2016) for the level.
Cost in bytes: 1 bit a weight, which no compressor makes less, plus 2 bytes per group before compression (0.125 bit
    a weight at 128).
Cost in step time: none after training; the published model is trained binary, which costs the steps.
When it hurts: on weights that were not trained for it; a third of their energy is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.core.results import ParamSpec, StoredTensor
from pgolf.quant.forecast import group_scale_bits
from pgolf.quant.pass_through import KeepDtype, Rest
from pgolf.quant.row_codes import check_scales
from pgolf.quant.schemes.binary import scheme_name
from pgolf.quant.schemes.flat_groups import group_count, grouped, lengths
from pgolf.quant.tensorwise import Tensorwise


class Binary(Tensorwise):
    """``quant=binary``: the sign of every ``matrix``, the embedding on a grid, the rest kept by role."""

    trains_through_export = True

    def __init__(
        self,
        *,
        group: Literal[64, 128, 256],
        embedding_bits: Annotated[int, Between(2, 8)],
        keep: KeepDtype,
    ) -> None:
        self.group = group
        self.rest = Rest(embedding_bits, keep)

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Expected bytes of a Gaussian tensor, scales included, before any compressor's overhead."""
        if spec.storage != "matrix":
            return self.rest.forecast_bytes(spec, shape)
        return (math.prod(shape) + group_count(shape, self.group) * group_scale_bits(self.group)) / 8

    def _store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor:
        if spec.storage != "matrix":
            return self.rest.store(name, weight, spec)
        length_G = lengths(weight.shape, self.group).to(weight.device)
        magnitude_GN = grouped(weight.to(torch.float32).abs(), self.group)
        scale_G = (magnitude_GN.sum(dim=1) / length_G).to(torch.float16)
        check_scales(name, weight, scale_G)
        q = torch.where(weight >= 0, 1, -1).to(torch.int8)
        arrays = {"q": q.cpu().numpy(), "scale": scale_G.cpu().numpy()}
        return StoredTensor(name, spec.component, scheme_name(self.group), tuple(weight.shape), arrays)
