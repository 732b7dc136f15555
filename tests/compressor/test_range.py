"""The range coder: exact for anything, close to its own ideal, close to the entropy, refused when damaged."""

import hashlib
import json
import math
import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import brotli
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.artifact import container
from pgolf.bench.artifact import ideal_bits
from pgolf.compressor import range as coder
from pgolf.compressor import range_kernels as kernels
from pgolf.compressor.range import Range
from pgolf.compressor.range_tables import tables
from pgolf.core.errors import ArtifactError
from pgolf.core.results import Layout
from pgolf.quant.entropy import code_bits
from tests.compressor.contract import *  # noqa: F403

RNG = np.random.default_rng(7)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def codec():
    return Range()


def stream(*matrices):
    """(raw bytes, layout) of int8 matrices."""
    codes = [np.asarray(m, dtype=np.int8) for m in matrices]
    layout = Layout("<i1", tuple(m.shape for m in codes))
    return b"".join(m.tobytes() for m in codes), layout


def gaussian(rows, columns, sigma, top, spread=0.0):
    """Codes of a Gaussian matrix on {-top..top} whose columns differ in width by a lognormal ``spread``."""
    widths_C = np.exp(spread * RNG.standard_normal(columns))
    return np.clip(np.rint(sigma * widths_C * RNG.standard_normal((rows, columns))), -top, top).astype(np.int8)


def roundtrip(raw, layout):
    packed = Range().encode(raw, layout)
    assert Range().decode(packed, len(raw), layout) == raw
    return packed


# ---- exact


def test_the_stream_is_the_same_on_every_machine():
    """Codes by integer arithmetic alone, so that nothing but the coder could differ; the digest is of this version."""
    codes = [[(i * i + 7 * j * j + i * j) % 23 - (i + j) % 12 for j in range(40)] for i in range(60)]
    digest = hashlib.sha256(roundtrip(*stream(codes, codes[:9]))).hexdigest()
    assert digest == "1a569fabac69fedc942b4d42aa345cf7e54c2788573748c38bc79544d696ee51"


SHAPES = st.lists(st.lists(st.integers(0, 12), max_size=3).map(tuple), max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["<i1", "|u1", "<f2", "<f4", "<u2", "<i8"]), SHAPES, st.data())
def test_roundtrip_is_exact_for_any_bytes_in_any_layout(dtype, shapes, data):
    size = sum(math.prod(shape) for shape in shapes) * np.dtype(dtype).itemsize
    roundtrip(data.draw(st.binary(min_size=size, max_size=size)), Layout(dtype, tuple(shapes)))


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((0, 7)),
        np.zeros((300, 70)),
        np.full((300, 70), 31),
        np.full((40, 50), -128),
        np.where(RNG.random((90, 80)) < 0.5, 31, -31),
        gaussian(1, 5000, 9, 31),
        gaussian(3, 9000, 9, 31),
        gaussian(5000, 1, 9, 31),
        gaussian(64, 1, 40, 127),
        RNG.integers(-128, 128, (100, 100)),
        np.int8(5),
    ],
    ids=[
        "empty",
        "zeros",
        "constant",
        "lowest",
        "clipped",
        "row",
        "wide",
        "column",
        "int8",
        "noise",
        "scalar",
    ],
)
def test_roundtrip_is_exact_at_the_edges(matrix):
    raw, layout = stream(matrix)
    assert len(roundtrip(raw, layout)) <= len(raw) + 5


def test_constant_and_clipped_matrices_cost_next_to_nothing():
    assert len(roundtrip(*stream(np.zeros((300, 300))))) < 100
    assert len(roundtrip(*stream(np.full((300, 300), 31)))) < 150
    signs = np.where(RNG.random((300, 300)) < 0.5, 15, -15)
    assert len(roundtrip(*stream(signs))) < signs.size / 8 * 1.005 + 64


def test_matrices_of_many_shapes_share_a_stream():
    matrices = [gaussian(r, c, s, 31) for r, c, s in ((30, 50, 3), (1, 7, 9), (50, 30, 5), (0, 4, 1), (64, 64, 2))]
    roundtrip(*stream(*matrices))


# ---- small


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.4, 5.0, 9.7, 30.0])
def test_independent_codes_cost_their_entropy(sigma):
    matrix = gaussian(400, 400, sigma, 127)
    assert len(roundtrip(*stream(matrix))) <= 1.005 * code_bits(matrix) / 8 + 64


@pytest.mark.parametrize("top", [1, 7, 63])
def test_uniform_codes_cost_their_entropy(top):
    matrix = RNG.integers(-top, top + 1, (300, 300))
    assert len(roundtrip(*stream(matrix))) <= 1.005 * code_bits(matrix.astype(np.int8)) / 8 + 64


def test_bytes_are_within_a_two_hundredth_of_the_ideal_code_length():
    for raw, layout in (
        stream(gaussian(300, 300, 9, 31), gaussian(300, 150, 2, 31)),
        (
            bytes(range(256)) * 30 + b"weights and more weights " * 300,
            Layout("|u1", ((256 * 30 + 25 * 300,),)),
        ),
    ):
        ideal_bytes = ideal_bits(raw, layout) / 8
        assert ideal_bytes < len(Range().encode(raw, layout)) <= 1.005 * ideal_bytes + 12


def test_columns_of_different_width_are_told_apart():
    matrix = gaussian(600, 300, 4, 31, spread=0.35)
    packed = len(roundtrip(*stream(matrix)))
    assert packed < 0.975 * code_bits(matrix) / 8
    assert packed < 0.975 * len(brotli.compress(matrix.tobytes(), quality=11, lgwin=24))


def test_rows_that_nearly_repeat_are_found():
    pattern, source = gaussian(1, 144, 9, 31), gaussian(200, 144, 9, 31)
    repeats = RNG.random(200) < 0.5
    source[repeats] = np.clip(pattern + RNG.integers(-1, 2, (int(repeats.sum()), 144)), -31, 31)
    packed = len(roundtrip(*stream(source)))
    assert packed < 0.85 * len(brotli.compress(source.tobytes(), quality=11, lgwin=24))


def test_columns_that_depend_on_each_other_are_predicted():
    mixing_CC = RNG.standard_normal((60, 60))
    rows_RC = RNG.standard_normal((3000, 60)) @ (np.eye(60) + 0.12 * mixing_CC)
    matrix = np.clip(np.rint(5 * rows_RC), -31, 31).astype(np.int8)
    assert len(roundtrip(*stream(matrix))) < 0.97 * code_bits(matrix) / 8


def test_scales_and_text_are_smaller_than_under_brotli():
    scales = np.concatenate([RNG.normal(m, 0.1 * m, 400) for m in (0.02, 0.05, 0.004)]).astype("<f2")
    planes = scales.view(np.uint8).reshape(-1, 2).T.tobytes()
    raw, layout = planes, Layout("<f2", ((400,), (400,), (400,)))
    assert len(roundtrip(raw, layout)) < 0.95 * len(brotli.compress(raw, quality=11, lgwin=24))
    words = [f"layers.{i}.{part}.weight" for i in range(60) for part in ("attention.q", "attention.k", "mlp.up")]
    text = json.dumps({"names": words, "shapes": [[i % 7, 144] for i in range(180)]}).encode()
    assert len(roundtrip(text, Layout("|u1", ((len(text),),)))) < 0.2 * len(text)


# ---- the same bytes everywhere


REFERENCE = """
import json, sys
import numba
from pgolf.compressor.range import Range
from pgolf.core.results import Layout
assert numba.config.DISABLE_JIT
for raw, dtype, shapes in json.load(sys.stdin):
    raw, layout = bytes.fromhex(raw), Layout(dtype, tuple(map(tuple, shapes)))
    packed = Range().encode(raw, layout)
    assert Range().decode(packed, len(raw), layout) == raw
    print(packed.hex())
"""


def reference_streams():
    """Small inputs that reach every part of both models."""
    source = np.random.default_rng(3)
    rows = np.clip(np.rint(source.standard_normal((14, 26)) * 6), -31, 31)
    rows[6:9] = np.clip(rows[5] + source.integers(-1, 2, (3, 26)), -31, 31)
    yield stream(rows, source.integers(-128, 128, (3, 20)), np.zeros((2, 26)))
    scales = source.normal(0.02, 0.002, 30).astype("<f2")
    yield scales.view(np.uint8).reshape(-1, 2).T.tobytes(), Layout("<f2", ((12,), (18,)))
    text = b'{"names":["layers.0.up","layers.1.up"]}' * 3 + bytes(9000)
    yield text, Layout("|u1", ((len(text),),))


def test_plain_python_gives_the_same_bytes_in_another_process():
    streams = list(reference_streams())
    run = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", REFERENCE],
        cwd=ROOT,
        input=json.dumps([(raw.hex(), layout.dtype, layout.shapes) for raw, layout in streams]),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [Range().encode(raw, layout).hex() for raw, layout in streams]


def test_tables_are_integers_that_say_what_their_names_say():
    T = tables().astype(np.float64)
    logits = np.arange(-kernels.LOGIT_END, kernels.LOGIT_END + 1) / kernels.LOGIT_UNIT
    squash = T[kernels.SQUASH : kernels.STRETCH] / kernels.P_ONE
    assert np.abs(squash - 1 / (1 + np.exp(-logits))).max() < 2**-15
    middles = (np.arange(kernels.STRETCHES) + 0.5) / kernels.STRETCHES
    stretch = T[kernels.STRETCH : kernels.RATE] / kernels.LOGIT_UNIT
    assert np.abs(stretch - np.log(middles / (1 - middles))).max() < 0.15  # at the ends, where a step of p is as much
    sigmas = np.arange(-kernels.CURVE_END, kernels.CURVE_END + 1) / kernels.CURVE_STEPS
    normal = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in sigmas])
    assert np.abs(T[kernels.NORMAL : kernels.WIDTHS] / kernels.CURVE_ONE - normal).max() < 1e-5
    sigma = kernels.INVERSE_ONE / T[kernels.WIDTHS + 64 * 8]  # of codes whose mean size is 8
    assert sigma * math.sqrt(2 / math.pi) == pytest.approx(8, rel=1e-3)


# ---- lanes


@pytest.fixture
def many_lanes(monkeypatch):
    monkeypatch.setattr(coder, "_LANES", ((4000, 4), (1000, 2), (0, 1)))


@given(SHAPES)
def test_lanes_hold_every_weight_once_and_are_cut_at_row_ends(shapes):
    layout = Layout("<i1", tuple(shapes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coder, "_LANES", ((200, 4), (50, 2), (0, 1)))
        cut = coder.lanes(layout)
    ends = [0, *(lane.stop for lane in cut)]
    assert [lane.start for lane in cut] == ends[:-1]
    assert ends[-1] == sum(math.prod(shape) for shape in shapes)
    assert all(lane.parts_S2[:, 0].sum() == lane.stop - lane.start for lane in cut)
    assert all((lane.parts_S2[:, 0] % lane.parts_S2[:, 1] == 0).all() for lane in cut)


def test_lanes_do_not_depend_on_the_machine(many_lanes, monkeypatch):
    raw, layout = stream(gaussian(90, 41, 6, 31), gaussian(30, 50, 6, 31))
    assert len(coder.lanes(layout)) == 4
    packed = roundtrip(raw, layout)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert roundtrip(raw, layout) == packed


def test_a_record_sized_stream_has_lanes_for_two_cores():
    assert len(coder.lanes(Layout("<i1", ((512, 512),) * 11))) == 2
    assert len(coder.lanes(Layout("<i1", ((1536, 512),) * 22))) == 4
    assert len(coder.lanes(Layout("<i1", ((4096, 144),)))) == 1


# ---- damage


@pytest.mark.parametrize("lanes", [1, 4])
def test_weights_cut_short_extended_or_relabelled_are_refused(codec, lanes, monkeypatch):
    monkeypatch.setattr(coder, "_LANES", ((0, lanes),))
    raw, layout = stream(gaussian(60, 80, 6, 31))
    packed = codec.encode(raw, layout)
    for damaged in [packed[:cut] for cut in range(0, len(packed), 97)] + [
        packed[:-1],
        packed + b"\0",
        packed * 2,
    ]:
        with pytest.raises(ArtifactError, match="range"):
            codec.decode(damaged, len(raw), layout)
    for shapes in (((61, 80),), ((60, 81),)):
        with pytest.raises(ArtifactError, match="range"):
            codec.decode(packed, math.prod(shapes[0]), Layout("<i1", shapes))


def test_damaged_weights_never_crash(codec, many_lanes):
    raw, layout = stream(gaussian(60, 80, 6, 31))
    packed = codec.encode(raw, layout)
    for at in range(0, len(packed), 31):
        damaged = packed[:at] + bytes([packed[at] ^ 1 << at % 8]) + packed[at + 1 :]
        with suppress(ArtifactError):
            assert len(codec.decode(damaged, len(raw), layout)) == len(raw)


def test_a_forged_claim_ends_with_the_stream(codec):
    layout = Layout("<i1", ((1 << 14, 1 << 10),))
    number = partial(int.to_bytes, length=4, byteorder="little")
    forged = number(1 << 24) + bytes([1, 31]) + number(30) * 3 + bytes(range(120))
    with pytest.raises(ArtifactError, match="range"):
        codec.decode(forged, 1 << 24, layout)


# ---- in the sealed process


def test_the_decoder_works_in_the_sealed_process(tmp_path):
    from pgolf.compressor.zlib import Zlib
    from pgolf.eval.evaluation import score_stream
    from pgolf.eval.from_artifact import evaluation_from
    from pgolf.eval.sealed import score_sealed
    from pgolf.proof.shelf import stream_of
    from tests.proof.making import DOCUMENTS, write_artifact

    plain = write_artifact(tmp_path / "plain.pgolf")
    loaded = container.read(plain)
    data = container.encode(loaded.header, loaded.state, loaded.tokenizer_blob, Range())
    container.write(tmp_path / "range.pgolf", data)
    assert container.codecs(tmp_path / "range.pgolf") == ("range",)
    assert container.codecs(plain) == (Zlib.codec_id,)
    evaluation = evaluation_from(loaded)
    tokens_N = stream_of(evaluation, DOCUMENTS)[0]
    sealed = score_sealed(tmp_path / "range.pgolf", tokens_N, threads=1)
    here = score_stream(evaluation, tokens_N, split="val", subset=True)
    assert sealed.violations == ()
    assert sealed.nll_nats_N.mean() == pytest.approx(here.val_loss, abs=1e-9)
