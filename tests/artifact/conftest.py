import hashlib
import json
import struct
import zlib

import numpy as np
import pytest

from pgolf.artifact.header import plain_bytes
from pgolf.compressor.registry import decoder
from pgolf.compressor.zlib import Zlib
from pgolf.core.results import QuantizedState, StoredTensor


def grid(name, role, shape, bits=6, seed=0):
    source = np.random.default_rng(seed)
    rows = int(np.prod(shape[:-1], dtype=int))
    top = 2 ** (bits - 1) - 1
    q = source.integers(-top, top + 1, size=shape, dtype=np.int8)
    scale = source.uniform(0.001, 0.1, size=rows).astype(np.float16)
    return StoredTensor(name, role, "grid", tuple(shape), {"q": q, "scale": scale}, bits)


def kept(name, shape, dtype=np.float32, role="small", seed=0):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    scheme = "fp32" if dtype == np.float32 else "fp16"
    return StoredTensor(name, role, scheme, tuple(shape), {"values": values})


@pytest.fixture
def state():
    return QuantizedState(
        tensors=(
            grid("blocks.0.mlp.up", "mlp", (6, 4), seed=1),
            grid("blocks.1.mlp.up", "mlp", (6, 4), seed=2),
            grid("embedding", "embedding", (9, 4), bits=8, seed=3),
            kept("gate", (3, 2), np.float16, seed=4),
            kept("scale", (4,), seed=5),
        ),
        aliases={"head": "embedding"},
    )


@pytest.fixture
def header():
    return {
        "arch": {"_target_": "pgolf.arch.baseline.GPT", "width": 4},
        "vocab_size": 9,
        "rope": 10000.5,
        "é": [None, True],
    }


@pytest.fixture
def compressor():
    return Zlib(level=9)


def sign(body):
    """Put the right length and digest on a damaged artifact, so that the checks behind them are reached."""
    body = body[:8] + struct.pack("<Q", len(body) + 32) + body[16:]
    return body + hashlib.sha256(body).digest()


def take_apart(data):
    """(codec, header JSON bytes, bytes of all streams)."""
    at = 17 + data[16]
    codec = data[17:at].decode()
    raw_length, packed_length, _ = struct.unpack_from("<III", data, at)
    packed = data[at + 12 : at + 12 + packed_length]
    raw = packed if codec == "raw" else decoder(codec)(packed, raw_length, plain_bytes(raw_length))
    return codec, raw, data[at + 12 + packed_length : -32]


def put_together(data, raw_header, streams, codec=b"raw", raw_length=None):
    length = len(raw_header) if raw_length is None else raw_length
    sizes = struct.pack("<III", length, len(raw_header), zlib.crc32(raw_header))
    return sign(data[:16] + bytes([len(codec)]) + codec + sizes + raw_header + streams)


@pytest.fixture
def forge():
    """Edit an artifact's header and sign it again: what someone who knows the format could send."""

    def edit(data, change):
        _, raw, streams = take_apart(data)
        root = json.loads(raw)
        change(root)
        text = json.dumps(root, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return put_together(data, text.encode(), streams)

    edit.sign, edit.take_apart, edit.put_together = sign, take_apart, put_together
    return edit


@pytest.fixture
def make_grid():
    return grid


@pytest.fixture
def make_kept():
    return kept
