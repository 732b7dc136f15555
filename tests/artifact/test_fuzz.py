"""Hundreds of damaged artifacts, among the slow tests thousands, at each depth of forgery: refused by name, no crash,
hang or large allocation.

What can be known differs with what was forged along:

- nothing: the SHA-256 covers every byte, so every change is refused;
- length and digest: each packed stream and the packed header have a CRC-32, which sees every change within 32 bits,
  so what is accepted has the weights bit for bit (a changed length field, which signing repairs);
- all checksums of the header too: damage reaches the parser, which accepts nothing but another valid directory;
- all checksums of the streams too: damage reaches the decoders, and codes of another value within the grid are as
  good as the true ones. Then the state must at least be whole and valid.
"""

import json
import random
import time
import tracemalloc
import zlib
from itertools import cycle
from pathlib import Path

import pytest
import torch
import yaml

from pgolf.artifact.container import decode, encode
from pgolf.compressor.registry import codecs
from pgolf.core.errors import ArtifactError
from pgolf.core.make import make
from pgolf.quant.schemes import SCHEMES, problem_of
from pgolf.quant.stored import dequantize
from tests.quant.samples import every_scheme

MUTANTS = 2000
DEEPER = 1000
LESS = 5  # where it need not be all of them
CONF = Path(__file__).parents[2] / "conf" / "compressor"
HEADER = {"arch": {"_target_": "pgolf.arch.baseline.GPT", "width": 8}, "vocab_size": 12}
MAX_SECONDS = 5.0  # of processor time for one artifact; a healthy one takes milliseconds
MAX_BYTES = 1 << 24


@pytest.fixture(scope="module")
def artifacts():
    """One artifact per codec, every scheme, aliases and corrections in each."""
    made = {}
    for codec in codecs():
        compressor = make(yaml.safe_load((CONF / f"{codec}.yaml").read_text()))
        made[codec] = encode(HEADER, every_scheme(48, 40), b"tokenizer " * 30, compressor)
    return made


@pytest.fixture(params=[LESS, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def less(request):
    return request.param


def mutants(artifacts, seed, damage, count):
    """(original, damaged) ``count`` times, the codecs in turn."""
    source = random.Random(seed)
    for _, data in zip(range(count), cycle(artifacts.values()), strict=False):
        yield data, damage(data, lambda piece: change(piece, source), source)


def change(piece, source):
    """One single-byte flip, truncation or insertion."""
    at = source.randrange(max(1, len(piece)))
    kind = source.randrange(3)
    if kind == 0 and piece:
        return piece[:at] + bytes([piece[at] ^ source.randrange(1, 256)]) + piece[at + 1 :]
    if kind == 1 and piece:
        return piece[:at]
    return piece[:at] + source.randbytes(1) + piece[at:]


class Watch:
    """Decodes; remembers the slowest and the largest."""

    def __init__(self):
        self.seconds = 0.0
        self.accepted = self.refused = 0

    def decode(self, data):
        start = time.process_time()
        try:
            loaded = decode(data)
            self.accepted += 1
            return loaded
        except ArtifactError as error:
            assert str(error).startswith("artifact:")
            self.refused += 1
            return None
        finally:
            self.seconds = max(self.seconds, time.process_time() - start)


@pytest.fixture
def watch(artifacts):
    for data in artifacts.values():  # what is imported or compiled once is not a mutant's doing
        decode(data)
    watch = Watch()
    tracemalloc.start()
    try:
        yield watch
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert watch.seconds < MAX_SECONDS
    assert peak < MAX_BYTES


def weights_of(loaded):
    return dequantize(loaded.state)


def same_weights(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def whole_and_valid(loaded):
    """Every tensor within its scheme, every weight a number."""
    return not any(map(problem_of, loaded.state.tensors)) and all(
        bool(value.isfinite().all()) for value in weights_of(loaded).values()
    )


def test_the_artifacts_hold_everything_there_is(artifacts, forge):
    for codec, data in artifacts.items():
        loaded = decode(data)
        assert {t.scheme for t in loaded.state.tensors} == set(SCHEMES)
        assert loaded.state.aliases and len(loaded.state.corrections) == 2
        assert codec in {stream[1] for stream in json.loads(forge.take_apart(data)[1])["streams"]}
        assert whole_and_valid(loaded)


def test_every_damaged_artifact_is_refused(artifacts, watch, less):
    for data, damaged in mutants(artifacts, 0, lambda data, hit, source: hit(data), MUTANTS // less):
        assert damaged != data
        assert watch.decode(damaged) is None
    assert watch.refused == MUTANTS // less


def test_signed_again_it_is_refused_or_bit_identical(artifacts, watch, forge, less):
    true_weights = {data: weights_of(decode(data)) for data in artifacts.values()}

    def signed(data, hit, source):
        return forge.sign(hit(data[:-32]))

    for data, damaged in mutants(artifacts, 1, signed, MUTANTS // less):
        loaded = watch.decode(damaged)
        if loaded is not None:
            assert damaged == data
            assert same_weights(weights_of(loaded), true_weights[data])
    assert watch.refused > 0.9 * MUTANTS // less


def test_a_damaged_header_with_valid_checksums_is_refused_or_another_valid_directory(artifacts, watch, forge, less):
    def in_the_header(data, hit, source):
        _, raw, streams = forge.take_apart(data)
        return forge.put_together(data, hit(raw), streams)

    for _, damaged in mutants(artifacts, 2, in_the_header, DEEPER // less):
        loaded = watch.decode(damaged)
        assert loaded is None or whole_and_valid(loaded)
    assert watch.refused > 0.5 * DEEPER // less


def edited(value, source):
    """``value`` of a JSON document with one thing in it replaced by something of another size or type."""
    if isinstance(value, (list, dict)) and value and source.randrange(8):
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = source.choice(list(keys))
        copy = value.copy()
        copy[key] = edited(value[key], source)
        return copy
    if isinstance(value, int) and source.randrange(2):
        return value + source.choice([-1, 1])
    return source.choice([None, True, -1, 0, 1, 1 << 29, 1 << 40, 1.5, "", "w.grid", "grid", [], [1], {}, {"a": "b"}])


def test_an_edited_directory_is_refused_or_another_valid_one(artifacts, watch, forge, less):
    def in_a_column(data, hit, source):
        def edit(root):
            key = source.choice(sorted(root))
            root[key] = edited(root[key], source)

        return forge(data, edit)

    for _, damaged in mutants(artifacts, 3, in_a_column, DEEPER // less):
        loaded = watch.decode(damaged)
        assert loaded is None or whole_and_valid(loaded)
    assert watch.refused > 0.5 * DEEPER // less


def test_damaged_streams_with_valid_checksums_never_leave_the_grid(artifacts, watch, forge, less):
    def in_a_stream(data, hit, source):
        _, raw, streams = forge.take_apart(data)
        root = json.loads(raw)
        row = source.randrange(len(root["streams"]))
        start = sum(stream[3] for stream in root["streams"][:row])
        end = start + root["streams"][row][3]
        packed = hit(streams[start:end])
        streams = streams[:start] + packed + streams[end:]
        root["streams"][row][3:] = [len(packed), zlib.crc32(packed)]
        text = json.dumps(root, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return forge.put_together(data, text.encode(), streams)

    shapes = {data: [t.shape for t in decode(data).state.tensors] for data in artifacts.values()}
    for data, damaged in mutants(artifacts, 4, in_a_stream, DEEPER // less):
        loaded = watch.decode(damaged)
        if loaded is not None:
            assert whole_and_valid(loaded)
            assert [t.shape for t in loaded.state.tensors] == shapes[data]
    assert watch.refused and watch.accepted
