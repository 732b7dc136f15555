"""The Gaussian law foretells the entropy of Gaussian weights within two percent, whatever the scheme."""

import math
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from pgolf.artifact.container import bytes_by_role, encode
from pgolf.compressor.base import BaseCompressor
from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.results import ParamSpec
from pgolf.quant.entropy import FLOAT_BITS, SCALE_BYTES, stored_bytes
from pgolf.quant.forecast import (
    EXPECTED_RMS,
    forecast_packed,
    gaussian_bits,
    percentile_sigmas,
    row_maximum_bits,
    row_maximum_sigmas,
)
from pgolf.quant.none import NoQuantizer
from pgolf.quant.stored import CORRECTION_ROLE
from tests.quant.nodes import (
    ATTENTION,
    CONTROL,
    EMBEDDING,
    HALF,
    MATRIX,
    calibration,
    child,
    correlated,
    entropy,
    hessian,
    quantizer,
)

LAYERS, WIDTH = 4, 128
GATE = ParamSpec("scalar", "keep_fp16", "attention_gate")
OPTIONS = [
    *("int8_rtn", "int6_rtn", "int5_rtn", "gptq_lite", "int6_gptq", "int5_gptq", "mixed_gptq", "sdclip_gptq"),
    "fitted_gptq",
    "pr1855",
]
FLOORED = ["pr860", "pr687"]  # the others count elements or need traces


@pytest.mark.parametrize(("bits", "columns"), [(5, 160), (6, 160), (6, 512), (8, 320)])
def test_the_forecast_meets_the_entropy_of_gaussian_weights(bits, columns):
    rtn = quantizer("rtn", bits=bits, embedding_bits=bits, scale=child("scale", "percentile", percentile=1.0))
    weights = torch.randn(1024, columns, generator=torch.Generator().manual_seed(0))
    (stored,) = rtn.quantize({"w": weights}, {"w": MATRIX}).tensors
    measured = entropy(stored.arrays["q"])
    assert row_maximum_bits(bits, columns) == pytest.approx(measured, rel=0.02)
    expected_bytes = weights.numel() * measured / 8 + SCALE_BYTES * 1024
    assert rtn.forecast_bytes(MATRIX, weights.shape, "w") == pytest.approx(expected_bytes, rel=0.02)


def gaussian_model(rms=None):
    """A model of Gaussian weights (by storage role those of ``rms``), its specs, and what calibration says of it."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"embedding": ((600, WIDTH), EMBEDDING), "control": ((WIDTH,), CONTROL), "half": ((9,), HALF)}
    for i in range(LAYERS):
        shapes |= {
            f"layers.{i}.mixer.q.weight": ((WIDTH, WIDTH), replace(ATTENTION, kind="q", layer=i)),
            f"layers.{i}.mixer.k.weight": ((WIDTH // 2, WIDTH), replace(ATTENTION, kind="k", layer=i)),
            f"layers.{i}.mlp.up.weight": ((2 * WIDTH, WIDTH), replace(MATRIX, kind="up", layer=i)),
            f"layers.{i}.mlp.down.weight": ((WIDTH, 2 * WIDTH), replace(MATRIX, kind="down", layer=i)),
            f"gates.{i}.weight": ((4, 12), GATE),
        }
    specs = {name: spec for name, (_, spec) in shapes.items()}
    state = {
        name: torch.randn(shape, generator=generator) * (rms or {}).get(spec.storage, 0.05)
        for name, (shape, spec) in shapes.items()
    }
    narrow, wide = hessian(correlated(WIDTH)), hessian(correlated(2 * WIDTH))
    hessians = {
        name: wide if "down" in name else narrow
        for name, spec in specs.items()
        if spec.storage in ("matrix", "embedding")
    }
    return state, specs, calibration(hessians, lookups=["embedding"])


@pytest.mark.parametrize("option", FLOORED)
def test_under_the_legacy_floor_weights_of_the_expected_size_are_foretold_as_well(option):
    state, specs, measured = gaussian_model(EXPECTED_RMS)
    chosen = quantizer(option)
    forecast = chosen.forecast_model(specs, {name: value.shape for name, value in state.items()})
    stored = chosen.quantize(state, specs, None, measured).tensors
    assert sum(forecast.values()) == pytest.approx(stored_bytes(stored), rel=0.02)


PUBLISHED = {  # whole submissions in bytes; 1026 is the mean of its three
    "pr687": ("zstd", 15_480_000),
    "pr187": ("lzma", 14_942_971),
    "pr1026": ("lzma", 15_863_333),
    "pr1204": ("brotli", 15_936_223),
}
CODE = 95_000  # as large as #1026's; #1204's has 93,853


@pytest.mark.parametrize("record", PUBLISHED)
def test_published_sizes_are_foretold_within_four_percent(record):
    compressor, size = PUBLISHED[record]
    cfg = settings(compose([f"arch={record}", f"quant={record}", f"compressor={compressor}", "size=record"]))
    with torch.device("meta"):
        model = make(cfg["arch"], vocab_size=1024, bos_id=1)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    packed = forecast_packed(make(cfg["quant"]), make(cfg["compressor"]), model.param_specs(), shapes)
    assert sum(packed.values()) + CODE == pytest.approx(size, rel=0.04)


@pytest.mark.parametrize("option", OPTIONS)
def test_presets_without_a_legacy_floor_are_foretold_within_two_percent_of_their_entropy(option):
    state, specs, measured = gaussian_model()
    changes = {"target_bytes": None} if option == "fitted_gptq" else {}
    chosen = quantizer(option, correction="none", **changes)  # Gaussian errors leave nothing to correct
    shapes = {name: value.shape for name, value in state.items()}
    forecast = chosen.forecast_model(specs, shapes)
    assert forecast.keys() == state.keys()
    stored = chosen.quantize(state, specs, None, measured).tensors
    assert sum(forecast.values()) == pytest.approx(stored_bytes(stored), rel=0.02)


def test_a_tensor_alone_is_forecast_by_its_role():
    late = quantizer("int6_rtn", policy="late_k")
    name, shape = "layers.3.mixer.k.weight", (WIDTH // 2, WIDTH)
    state, specs, _ = gaussian_model()
    whole = late.forecast_model(specs, {n: w.shape for n, w in state.items()})
    assert whole[name] == FLOAT_BITS["fp16"] / 8 * shape[0] * shape[1]  # late, hence not on the grid
    assert late.forecast_bytes(ATTENTION, shape, name) < whole[name]


def test_a_policy_that_does_not_fit_the_model_is_refused_when_forecasting():
    with pytest.raises(ConfigError, match="fp16_components"):
        quantizer("pr187").forecast_model({"w": MATRIX}, {"w": (4, 4)})


@pytest.mark.parametrize(("step", "top"), [(0.01, 127), (0.3, 31), (1.0, 15), (4.0, 3), (2.0, 1)])
def test_the_law_is_the_entropy_of_a_rounded_gaussian(step, top):
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(1))
    measured = entropy((z / step).round().clamp(-top, top).numpy())
    assert gaussian_bits(step, top) == pytest.approx(measured, abs=0.005)


def test_the_law_of_a_fine_grid_is_the_closed_form():
    assert gaussian_bits(0.1, 127) == pytest.approx(math.log2(10) + 2.047, abs=1e-3)


@pytest.mark.parametrize(("percentile", "columns"), [(1.0, 100), (0.999, 1000), (0.99, 64), (0.5, 33), (1.0, 1)])
def test_percentiles_of_gaussian_rows_lie_where_foretold(percentile, columns):
    rows = torch.randn(4_000, columns, generator=torch.Generator().manual_seed(1)).abs()
    measured = float(torch.quantile(rows, percentile, dim=1).median())
    assert percentile_sigmas(percentile, columns) == pytest.approx(measured, rel=0.02)


def test_the_largest_of_one_is_the_median_magnitude():
    assert row_maximum_sigmas(1) == pytest.approx(0.6745, abs=1e-4)


def test_kept_tensors_cost_their_dtype():
    rtn = quantizer("int6_rtn", keep="fp16")
    assert rtn.forecast_bytes(CONTROL, (3, 5), "control") == 15 * FLOAT_BITS["fp16"] / 8
    assert NoQuantizer().forecast_bytes(MATRIX, (4, 5), "w") == 20 * FLOAT_BITS["fp32"] / 8


def test_empty_tensors_cost_nothing_but_their_scales():
    assert quantizer("int6_rtn").forecast_bytes(MATRIX, (3, 0), "w") == 3 * SCALE_BYTES


class Beyond(BaseCompressor):
    """A compressor with numbers of its own."""

    beyond_law: ClassVar = {"matrix": 0.5, "embedding": -0.25}


def test_trained_weights_and_the_compressor_change_the_codes_alone():
    state, specs, _ = gaussian_model()
    shapes = {name: value.shape for name, value in state.items()}
    chosen = quantizer("int6_rtn", policy="late_k")
    law, packed = chosen.forecast_model(specs, shapes), forecast_packed(chosen, Beyond(), specs, shapes)
    for name, spec in specs.items():
        late = law[name] == FLOAT_BITS["fp16"] / 8 * state[name].numel()
        beyond = {} if late else Beyond.beyond_law
        bits = beyond[spec.storage] + chosen.trained_bits if spec.storage in beyond else 0.0
        assert packed[name] - law[name] == pytest.approx(bits / 8 * state[name].numel()), name
    assert sum(law[name] == packed[name] for name in specs if specs[name].storage == "matrix") == 2


def test_a_compressor_without_numbers_is_foretold_by_the_default_between_the_others():
    weights = torch.randn(512, 256, generator=torch.Generator().manual_seed(0))
    shapes, specs, rtn = {"w": weights.shape}, {"w": MATRIX}, quantizer("int5_rtn")
    sizes = [
        forecast_packed(rtn, make(settings(compose([f"compressor={name}"]))["compressor"]), specs, shapes)["w"]
        for name in ("brotli", "lzma")
    ]
    assert sizes[0] < forecast_packed(rtn, BaseCompressor(), specs, shapes)["w"] < sizes[1]


def test_floats_alone_are_the_same_whatever_the_compressor():
    shapes = {"w": (4, 5), "e": (40, 5)}
    specs = {"w": MATRIX, "e": EMBEDDING}
    assert forecast_packed(NoQuantizer(), Beyond(), specs, shapes) == NoQuantizer().forecast_model(specs, shapes)


@pytest.mark.parametrize("correction", ["lqer", "lqer_weighted"])
def test_a_correction_is_foretold_within_a_third(correction):
    """A few kilobytes in all. What was lost is of low rank here, so that there is something to give back."""
    state, specs, measured = gaussian_model()
    chosen = quantizer("sdclip_gptq", correction=correction)
    coarse = quantizer("int5_rtn")
    rounded = coarse.quantize(state, specs)
    generator = torch.Generator().manual_seed(1)
    lost = {
        name: torch.randn(len(w), 4, generator=generator) @ torch.randn(4, w.shape[1], generator=generator)
        for name, w in state.items()
        if specs[name].storage in ("matrix", "embedding")
    }
    weights = {name: w + 0.01 * lost.get(name, 0) for name, w in coarse.dequantize(rounded).items()}
    corrected = chosen.pipeline.correction.correct(weights, rounded, measured.hessians)
    factors = stored_bytes(t for t in corrected.tensors if t.name not in specs)
    shapes = {name: value.shape for name, value in state.items()}
    assert chosen.forecast_model(specs, shapes)[CORRECTION_ROLE] == pytest.approx(factors, rel=0.33)


@pytest.mark.parametrize("compressor", ["range", "brotli"])
def test_packed_bytes_are_foretold_within_two_percent(compressor):
    weights = torch.randn(512, 256, generator=torch.Generator().manual_seed(0))
    chosen = quantizer("rtn", scale="sdclip", bits=6)
    packer = make(settings(compose([f"compressor={compressor}"]))["compressor"])
    stored = chosen.quantize({"w": weights}, {"w": MATRIX})
    sizes = bytes_by_role(encode({}, stored, b"", packer))
    size = sum(sizes.values()) - sizes["header"]
    forecast = forecast_packed(chosen, packer, {"w": MATRIX}, {"w": weights.shape})
    assert forecast["w"] == pytest.approx(size, rel=0.02)
