"""Each weight as -1, 0 or 1 times the level of its group: 1.6 bits a weight instead of 5 or 6.

Formula: per group of ``group`` flattened elements s = fp16(mean|W|); q = sign(W) where |W| > threshold * s, else 0;
    What = q s / mean|q|. ``scale: least_squares`` stores mean|W q| instead of s, whose level is the mean magnitude
    of the weights that are not zeroed: the best level there is for these q.
Source: the ternary submissions of the parameter-golf challenge (spec quant 2.8: groups of 128, threshold 0.5, scale
    ``mean``, 73.7 M parameters in 15.99 MB); threshold 0.7 is that of Ternary Weight Networks (Li et al. 2016).
Cost in bytes: at threshold 0.5 a Gaussian has 1.583 bits a weight, at 0.7 1.559; 2 bytes per group before
    compression (0.125 bit a weight at 128). Relative squared error of a Gaussian: 0.219 with ``mean``, 0.213
    with ``least_squares``, 0.192 with ``least_squares`` at threshold 0.7.
Cost in step time: none after training; the published models are trained ternary, which costs the steps.
When it hurts: on weights that were not trained for it; a fifth of their energy is lost. Averaging of weights and
    Muon's weight decay undo such training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from pgolf.core.ranges import Between
from pgolf.core.results import ParamSpec, StoredTensor
from pgolf.quant.forecast import group_scale_bits, ternary_bits
from pgolf.quant.grid import SMALLEST_NORMAL_FP16
from pgolf.quant.pass_through import KeepDtype, Rest
from pgolf.quant.row_codes import check_scales
from pgolf.quant.schemes.flat_groups import group_count, grouped, lengths, ungrouped
from pgolf.quant.schemes.ternary import scheme_name
from pgolf.quant.tensorwise import Tensorwise


class Ternary(Tensorwise):
    """``quant=ternary``: every ``matrix`` ternary, the embedding on a grid, the rest kept by role."""

    trains_through_export = True

    def __init__(
        self,
        *,
        group: Literal[64, 128, 256],
        threshold: Annotated[float, Between(0, 1)],
        scale: Literal["mean", "least_squares"],
        embedding_bits: Annotated[int, Between(2, 8)],
        keep: KeepDtype,
    ) -> None:
        self.group = group
        self.threshold = threshold
        self.scale = scale
        self.rest = Rest(embedding_bits, keep)

    def forecast_bytes(self, spec: ParamSpec, shape: Sequence[int], name: str) -> float:
        """Expected bytes of a Gaussian tensor, scales included, before any compressor's overhead."""
        if spec.storage != "matrix":
            return self.rest.forecast_bytes(spec, shape)
        scales = group_count(shape, self.group) * group_scale_bits(self.group)
        return (math.prod(shape) * ternary_bits(self.threshold) + scales) / 8

    def _store(self, name: str, weight: Tensor, spec: ParamSpec) -> StoredTensor:
        if spec.storage != "matrix":
            return self.rest.store(name, weight, spec)
        magnitude_GN = grouped(weight.to(torch.float32).abs(), self.group)
        length_G = lengths(weight.shape, self.group).to(weight.device)
        mean_G = _floored(magnitude_GN.sum(dim=1) / length_G)
        check_scales(name, weight, mean_G)
        chosen_GN = magnitude_GN > self.threshold * mean_G.to(torch.float32)[:, None]
        scale_G = mean_G
        if self.scale == "least_squares":
            scale_G = _floored((magnitude_GN * chosen_GN).sum(dim=1) / length_G)
        q = ungrouped(chosen_GN, weight.shape) * weight.sign()
        arrays = {"q": q.to(torch.int8).cpu().numpy(), "scale": scale_G.cpu().numpy()}
        return StoredTensor(name, spec.component, scheme_name(self.group), tuple(weight.shape), arrays)


def _floored(scale_G: Tensor) -> Tensor:
    return scale_G.clamp_min(SMALLEST_NORMAL_FP16).to(torch.float16)
