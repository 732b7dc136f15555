"""The size asked for is met from below, with few results packed, or refused with the ledger."""

import math

import pytest
import torch

from pgolf.artifact import container
from pgolf.core.errors import OverBudget
from pgolf.core.make import make
from pgolf.quant.target import CLOSE, COARSEST, Weighed, hit_target, quantize_to_target
from tests.quant.nodes import (
    ATTENTION,
    CONTROL,
    EMBEDDING,
    MATRIX,
    calibration,
    correlated,
    hessian,
    quantizer,
)

COMPRESSORS = {"Range": {}, "Zlib": {"level": 9}, "Brotli": {"quality": 11, "lgwin": 24}}


def entropy_bytes(factor):
    """A million weights, four bits each at factor 1."""
    return 1_000_000 * max(0.05, 4 - math.log2(factor)) / 8


class Coder:
    """Packs ``fixed`` bytes more than ``share`` of the entropy; remembers the factors asked for."""

    def __init__(self, fixed=50_000, share=1.01, bump=lambda factor: 0):
        self.fixed, self.share, self.bump, self.factors = fixed, share, bump, []

    def __call__(self, factor):
        self.factors.append(factor)
        size = int(self.fixed + self.share * entropy_bytes(factor) + self.bump(factor))
        return Weighed(factor, size, "weights, code, tokenizer")


@pytest.mark.parametrize("target", [200_000, 420_000, 551_000, 700_000])
@pytest.mark.parametrize("share", [0.95, 1.0, 1.05])
def test_the_target_is_met_from_below_in_a_few_packings(target, share):
    coder = Coder(share=share)
    hit = hit_target(target, entropy_bytes, coder, finest=0.2)
    assert target * (1 - CLOSE) <= hit.weighed.bytes_total <= target
    assert hit.packed_times == len(coder.factors) <= 5
    assert hit.weighed.packed == hit.factor


def test_a_size_that_jumps_is_met_as_near_as_it_goes():
    coder = Coder(bump=lambda factor: 3000 * (hash(round(factor, 4)) % 7))
    hit = hit_target(420_000, entropy_bytes, coder, finest=0.2)
    assert 0.97 * 420_000 <= hit.weighed.bytes_total <= 420_000


def test_more_bytes_than_the_finest_grid_takes_leave_it_smaller():
    coder = Coder()
    hit = hit_target(10_000_000, entropy_bytes, coder, finest=0.5)
    assert (hit.factor, hit.packed_times) == (0.5, 1)


def test_an_unreachable_size_is_refused_with_the_ledger():
    with pytest.raises(OverBudget, match=r"60,000 asked for\. weights, code, tokenizer") as caught:
        hit_target(60_000, entropy_bytes, Coder(fixed=60_000), finest=0.5)
    assert caught.value.exit_status == 3 and f"times {COARSEST:g}" in str(caught.value)


def test_estimates_that_mislead_cannot_hide_a_result_that_fits():
    hit = hit_target(150_000, lambda factor: 1.0 / factor, Coder(), finest=0.5)
    assert hit.weighed.bytes_total <= 150_000


def model():
    generator = torch.Generator().manual_seed(0)
    state, specs = {}, {}
    for i in range(3):
        state[f"layers.{i}.mixer.q.weight"] = torch.randn(96, 96, generator=generator) * 0.1
        state[f"layers.{i}.mlp.up.weight"] = torch.randn(192, 96, generator=generator) * 0.1
        specs |= {f"layers.{i}.mixer.q.weight": ATTENTION, f"layers.{i}.mlp.up.weight": MATRIX}
    state["embedding"], specs["embedding"] = torch.randn(256, 96, generator=generator), EMBEDDING
    state["scale"], specs["scale"] = torch.randn(96, generator=generator), CONTROL
    return state, specs


@pytest.mark.parametrize("compressor", ["zlib.Zlib", "brotli.Brotli", "range.Range"])
@pytest.mark.parametrize("option", ["gptq_lite", "sdclip_gptq"])
def test_the_packed_artifact_has_the_size_asked_for(option, compressor):
    state, specs = model()
    h = hessian(correlated(96))
    measured = calibration(dict.fromkeys((n for n in state if n != "scale"), h), lookups=["embedding"])
    module, name = compressor.split(".")
    packer = make({"_target_": f"pgolf.compressor.{module}.{name}", **COMPRESSORS[name]})

    def pack(stored):
        data = container.encode({}, stored, b"tokenizer", packer)
        return Weighed(data, len(data), "")

    target = 45_000
    chosen = quantizer(option, scale="sdclip", target_bytes=target)
    hit = quantize_to_target(chosen, state, specs, None, measured, pack)
    assert target * (1 - 3e-3) <= hit.weighed.bytes_total <= target
    stored = chosen.times(hit.factor).quantize(state, specs, None, measured)
    assert pack(stored).packed == hit.weighed.packed
