import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pgolf.artifact.container import decode, encode, read, write
from pgolf.compressor.brotli import Brotli
from pgolf.compressor.lzma import Lzma
from pgolf.compressor.zlib import Zlib
from pgolf.compressor.zstd import Zstd
from pgolf.core.errors import ArtifactError, RunError
from pgolf.core.results import QuantizedState, StoredTensor
from pgolf.quant.schemes import SCHEMES
from tests.quant.samples import every_scheme

COMPRESSORS = [Zlib(level=9), Zstd(level=3), Brotli(quality=5, lgwin=22), Lzma(preset=6)]
BLOB = b"tokenizer " * 30


def assert_equal(left, right):
    assert dict(left.aliases) == dict(right.aliases)
    assert dict(left.corrections) == dict(right.corrections)
    ordered = sorted(right.tensors, key=lambda tensor: tensor.name)
    assert [t.name for t in left.tensors] == [t.name for t in ordered]
    for a, b in zip(left.tensors, ordered, strict=True):
        assert (a.role, a.scheme, a.shape, a.bits) == (b.role, b.scheme, b.shape, b.bits)
        assert a.arrays.keys() == b.arrays.keys()
        for field, x in a.arrays.items():
            y = b.arrays[field]
            assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=lambda c: c.codec_id)
def test_roundtrip_is_exact_with_every_compressor(state, header, compressor):
    data = encode(header, state, BLOB, compressor)
    loaded = decode(data)
    assert loaded.header == header
    assert loaded.tokenizer_blob == BLOB
    assert loaded.sha256 == hashlib.sha256(data).hexdigest()
    assert_equal(loaded.state, state)


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=lambda c: c.codec_id)
def test_every_scheme_comes_back_with_aliases_and_corrections(compressor):
    state = every_scheme()
    loaded = decode(encode({}, state, b"", compressor))
    assert {t.scheme for t in loaded.state.tensors} == set(SCHEMES)
    assert_equal(loaded.state, state)


def test_packed_counts_are_a_section_of_their_own_and_nothing_where_there_are_none(state, header, compressor):
    blob = bytes(range(256)) * 3
    plain, packed = encode(header, state, BLOB, compressor), encode(header, state, BLOB, compressor, blob)
    assert decode(packed).packed_blob == blob and decode(plain).packed_blob == b""
    assert encode(header, state, BLOB, compressor, b"") == plain and b"packed" not in plain
    found = decode(packed).bytes_by_role
    assert 0 < found.pop("packed") <= len(blob) and found.keys() == decode(plain).bytes_by_role.keys()
    assert_equal(decode(packed).state, state)


def test_a_model_without_corrections_pays_nothing_for_them(state, header, compressor, forge):
    assert b"corrections" not in forge.take_apart(encode(header, state, BLOB, compressor))[1]


@st.composite
def stored_tensor(draw, name):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    role = draw(st.sampled_from(["mlp", "attention", "é.x", ""]))
    scheme = draw(st.sampled_from(["grid", "fp32", "fp16"]))
    if scheme != "grid":
        dtype = np.float32 if scheme == "fp32" else np.float16
        finite = hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
        return StoredTensor(name, role, scheme, shape, {"values": draw(hnp.arrays(dtype, shape, elements=finite))})
    bits = draw(st.integers(2, 8))
    top = 2 ** (bits - 1) - 1
    rows = int(np.prod(shape[:-1], dtype=int))
    q = draw(hnp.arrays(np.int8, shape, elements=st.integers(-top, top)))
    scale = draw(hnp.arrays(np.float16, (rows,), elements=st.sampled_from([6.1e-5, 0.01, 1.0, 65504.0])))
    return StoredTensor(name, role, scheme, shape, {"q": q, "scale": scale}, bits)


names = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), unique=True, max_size=6)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda child: (
        st.lists(child, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), child, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    keys=names,
    blob=st.binary(max_size=60),
    run=st.dictionaries(st.text("abc", max_size=3), json_values, max_size=3),
)
def test_any_state_header_and_blob_come_back_exactly(data, keys, blob, run):
    tensors = tuple(data.draw(stored_tensor(name)) for name in keys[:4])
    aliases = {alias: tensors[0].name for alias in keys[4:]} if tensors else {}
    compressor = data.draw(st.sampled_from(COMPRESSORS[:3]))
    state = QuantizedState(tensors, aliases)
    loaded = decode(encode(run, state, blob, compressor))
    assert_equal(loaded.state, state)
    assert (loaded.header, loaded.tokenizer_blob) == (run, blob)


def test_empty_state_and_empty_blob_come_back(compressor):
    loaded = decode(encode({}, QuantizedState(()), b"", compressor))
    assert loaded.state.tensors == () and loaded.tokenizer_blob == b"" and loaded.header == {}


def test_order_of_inputs_does_not_change_the_bytes(state, header, compressor):
    shuffled = QuantizedState(state.tensors[::-1], dict(reversed(state.aliases.items())))
    again = encode(dict(reversed(header.items())), shuffled, BLOB, compressor)
    assert encode(header, state, BLOB, compressor) == again


def test_tuples_in_the_header_come_back_as_lists(compressor):
    assert decode(encode({"a": (1, (2, 3))}, QuantizedState(()), b"", compressor)).header == {"a": [1, [2, 3]]}


SCRIPT = """
import hashlib, torch
from pgolf.artifact.container import encode
from pgolf.compressor.brotli import Brotli
from pgolf.core.results import ParamSpec
from pgolf.quant.correction.lqer import LQER
from pgolf.quant.ternary import Ternary
generator = torch.Generator().manual_seed(7)
state = {f"b.{i}.w": torch.randn(32, 48, generator=generator) for i in range(4)}
state |= {"s": torch.randn(5, generator=generator)}
specs = {name: ParamSpec("matrix", "matrix" if name != "s" else "keep_fp32", "mlp") for name in state}
ternary = Ternary(group=128, threshold=0.5, scale="mean", embedding_bits=8, keep="by_role")
lqer = LQER(top_k=2, rank=4, left_bits=2, right_bits=4)
quantized = lqer.correct(state, ternary.quantize(state, specs), None)
data = encode({"roles": sorted({"b", "a"}), "x": 0.1}, quantized, b"blob" * 9, Brotli(quality=11, lgwin=24))
print(hashlib.sha256(data).hexdigest())
"""


def test_two_processes_write_the_same_bytes():
    def run(hash_seed):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = run("1")
    assert len(first.strip()) == 64
    assert first == run("2")


def test_ledger_adds_up_to_the_file(state, header, compressor):
    data = encode(header, state, BLOB, compressor)
    ledger = decode(data).bytes_by_role
    assert sum(ledger.values()) == len(data)
    assert set(ledger) == {"mlp", "embedding", "small", "scales", "tokenizer", "header"}


def test_size_does_not_depend_on_how_often_a_tensor_is_used(make_grid, compressor):
    big = make_grid("block", "mlp", (64, 64))
    once = encode({}, QuantizedState((big,)), b"", compressor)
    often = encode({}, QuantizedState((big,), {f"block.{i}": "block" for i in range(8)}), b"", compressor)
    assert len(often) - len(once) < 100


def test_names_and_directory_of_a_laptop_model_take_little(make_grid, make_kept):
    parts = {
        "attention.q": (8, 8),
        "attention.k": (4, 8),
        "attention.v": (4, 8),
        "attention.proj": (8, 8),
        "mlp.up": (16, 8),
        "mlp.down": (8, 16),
    }
    tensors = [
        make_grid(f"blocks.{i}.{part}.weight", part.split(".")[0], shape)
        for i in range(6)
        for part, shape in parts.items()
    ]
    tensors += [
        make_kept(f"blocks.{i}.{name}", (8,)) for i in range(6) for name in ("attn_scale", "mlp_scale", "resid_mix")
    ]
    data = encode({}, QuantizedState(tuple(tensors)), b"", Brotli(quality=11, lgwin=24))
    assert decode(data).bytes_by_role["header"] < 700


def test_written_file_reads_back_with_its_digest(tmp_path, state, header, compressor):
    data = encode(header, state, BLOB, compressor)
    write(tmp_path / "artifact.pgolf", data)
    loaded = read(tmp_path / "artifact.pgolf")
    assert loaded.sha256 == hashlib.sha256((tmp_path / "artifact.pgolf").read_bytes()).hexdigest()
    assert_equal(loaded.state, state)


def test_full_disk_leaves_the_old_artifact_intact(tmp_path, state, header, compressor, monkeypatch):
    path = tmp_path / "artifact.pgolf"
    write(path, encode(header, state, b"old", compressor))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"artifact\.pgolf.*No space left.*untouched"):
        write(path, encode(header, state, b"new", compressor))
    monkeypatch.undo()
    assert read(path).tokenizer_blob == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["artifact.pgolf"]


def test_what_is_no_file_is_refused_by_name(tmp_path):
    with pytest.raises(ArtifactError, match=r"nothing\.pgolf"):
        read(tmp_path / "nothing.pgolf")
    os.mkfifo(tmp_path / "pipe")  # nobody writes: opening it would wait for ever
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ArtifactError, match=f"a folder, pipe or device, not a file.*{place}"):
            read(place)


def test_error_of_read_names_the_file(tmp_path):
    (tmp_path / "x.pgolf").write_bytes(b"PK\x03\x04" * 20)
    with pytest.raises(ArtifactError, match=r"not a pgolf artifact.*x\.pgolf"):
        read(tmp_path / "x.pgolf")
