"""Every way an artifact can be wrong has its own error, and nothing but ArtifactError comes out."""

import random
import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pgolf.artifact.container import decode, encode
from pgolf.core.errors import ArtifactError
from pgolf.core.results import QuantizedState


@pytest.fixture
def data(state, header, compressor):
    return encode(header, state, b"tokenizer " * 30, compressor)


def refused(data, message):
    with pytest.raises(ArtifactError, match=message):
        decode(data)


def test_every_flipped_byte_is_refused(data):
    source = random.Random(0)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= source.randrange(1, 256)
        refused(bytes(damaged), "artifact:")


def test_truncation_at_any_offset_is_refused(data):
    for length in range(len(data)):
        refused(data[:length], "truncated|not a pgolf artifact" if length else "not a pgolf artifact")


def test_inserted_deleted_and_trailing_bytes_are_refused(data):
    source = random.Random(1)
    refused(data + b"\0", "1 trailing bytes")
    refused(data + data, "trailing bytes")
    for at in (source.randrange(len(data)) for _ in range(200)):
        refused(data[:at] + source.randbytes(1) + data[at:], "artifact:")
        refused(data[:at] + data[at + 1 :], "artifact:")


@pytest.mark.parametrize("foreign", [b"", b"PK\x03\x04", b"\x80\x04pickle" * 20, bytes(100), b"\x89PNG\r\n\x1a\n" * 9])
def test_foreign_magic_is_refused(foreign):
    refused(foreign, "not a pgolf artifact")


@pytest.mark.parametrize(("version", "age"), [(3, "a newer"), (65535, "a newer"), (1, "an older"), (0, "an older")])
def test_other_versions_are_refused_as_newer_or_older(data, version, age):
    refused(data[:6] + struct.pack("<H", version) + data[8:], f"version {version}, from {age} pgolf")


def test_signed_flips_are_refused_or_harmless_but_never_crash(data, forge):
    """Behind a valid digest every byte of a stream is still covered by its CRC-32."""
    source = random.Random(2)
    for _ in range(400):
        damaged = bytearray(data[:-32])
        damaged[source.randrange(16, len(damaged))] ^= source.randrange(1, 256)
        refused(forge.sign(bytes(damaged)), "artifact:")


def test_damaged_stream_is_named_by_its_crc(data, forge):
    damaged = bytearray(data[:-32])
    damaged[-1] ^= 1
    refused(forge.sign(bytes(damaged)), r"CRC-32 mismatch in stream 'tokenizer'")


def test_damaged_header_is_named_by_its_crc(data, forge):
    damaged = bytearray(data[:-32])
    damaged[17 + damaged[16] + 12 + 5] ^= 1
    refused(forge.sign(bytes(damaged)), "CRC-32 mismatch in its header")


def columns(key, change):
    def edit(root):
        root[key] = change(root[key])

    return edit


def first(rows, at, value):
    return [[*rows[0][:at], value, *rows[0][at + 1 :]], *rows[1:]]


FORGERIES = {
    "unknown scheme 'ternary'.*ternary128": columns("table", lambda t: first(t, 0, "ternary")),
    "unknown codec 'zlob'.*Did you mean 'zlib'": columns("streams", lambda s: [[r[0], "zlob", *r[2:]] for r in s]),
    "no storage kind": columns("kinds", lambda k: [99, *k[1:]]),
    "is no storage kind": columns("table", lambda t: first(t, 1, "8")),
    "different lengths": columns("names", lambda n: n[:-1]),
    "there twice or out of order": columns("names", lambda n: [n[1], *n[1:]]),
    "a missing tensor": columns("aliases", lambda a: {"head": "nowhere"}),
    "both a tensor and an alias": columns("aliases", lambda a: {"scale": "embedding"}),
    "impossible shape": columns("shapes", lambda s: [[-6, 4], *s[1:]]),
    "over the format's limit": columns("shapes", lambda s: [[1 << 29, 1 << 29, 1 << 29], *s[1:]]),
    "its tensors": columns("shapes", lambda s: [[6, 5], *s[1:]]),
    "impossible length": columns("streams", lambda s: first(s, 2, 1 << 60)),
    "do not add up": columns("streams", lambda s: first(s, 3, s[0][3] + 1)),
    "is no stream": columns("streams", lambda s: [5, *s[1:]]),
    "is missing; tensors are without": columns("streams", lambda s: s[1:]),
    "belongs to no tensor": columns("streams", lambda s: [*s, ["z", "raw", 0, 0, 0]]),
    "streams are there twice": columns("streams", lambda s: s[::-1]),
    "reserved role": columns("table", lambda t: first(t, 2, "tokenizer")),
    "fields of the wrong type": columns("run", lambda r: [1]),
    "not in canonical form": lambda root: root.pop("aliases"),
    r"outside the grid -3\.\.3": columns("table", lambda t: [[r[0], 3 if r[0] == "grid" else 0, r[2]] for r in t]),
    "9 bits": columns("table", lambda t: [[r[0], 9 if r[0] == "grid" else 0, r[2]] for r in t]),
    "where this scheme has none": columns("table", lambda t: [[r[0], r[1] or 4, r[2]] for r in t]),
}


@pytest.mark.parametrize("message", FORGERIES)
def test_forged_header_is_refused_by_name(data, forge, message):
    refused(forge(data, FORGERIES[message]), message)


MATRICES = {
    "m": (6, 4),
    "m.left": (6, 2),
    "m.right": (2, 4),
    "other": (6, 4),
    "narrow": (6, 3),
    "tall": (5, 2),
    "vector": (4,),
    "wide.left": (6, 5),
    "wide.right": (5, 4),
}
GOOD = {"m": ("m.left", "m.right")}


@pytest.fixture
def corrected(make_grid):
    tensors = tuple(make_grid(name, "mlp", shape) for name, shape in MATRICES.items())
    return QuantizedState(tensors, {"tied": "other"}, GOOD)


BAD_CORRECTIONS = {
    "'n', a missing tensor": {"n": ["m.left", "m.right"]},
    "'nowhere', a missing tensor": {"m": ["m.left", "nowhere"]},
    "'tied', an alias, belongs to its owner 'other'": {"tied": ["m.left", "m.right"]},
    "needs 'tied', a missing tensor": {"m": ["tied", "m.right"]},
    "'vector' is no matrix": {"m": ["vector", "m.right"]},
    r"'m.right' corrects 'other' and is used elsewhere": GOOD | {"other": ["tall", "m.right"]},
    "'m.left' corrects 'm' and is used elsewhere": {"m": ["m.left", "m.left"]},
    "'other' corrects 'm' and is used elsewhere": {"m": ["other", "m.right"]},  # the owner of an alias
    "'m.left' corrects 'm' and is used elsewhere too$": GOOD | {"m.left": ["tall", "wide.right"]},
    r"factors \[5, 2\] and \[2, 4\] do not correct 'm' \[6, 4\]": {"m": ["tall", "m.right"]},
    r"factors \[6, 3\] and \[2, 4\] do not correct 'm'": {"m": ["narrow", "m.right"]},
    "impossible rank 5": {"m": ["wide.left", "wide.right"]},
}


@pytest.mark.parametrize("message", BAD_CORRECTIONS)
def test_corrections_that_do_not_fit_are_refused_by_reader_and_writer(corrected, compressor, forge, message):
    wrong = {name: tuple(pair) for name, pair in BAD_CORRECTIONS[message].items()}
    with pytest.raises(ArtifactError, match=message):
        encode({}, replace(corrected, corrections=wrong), b"", compressor)
    good = encode({}, corrected, b"", compressor)
    assert decode(good).state.corrections == GOOD
    refused(forge(good, columns("corrections", lambda _: BAD_CORRECTIONS[message])), message)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "is empty or of the wrong type"),
        (None, "is empty or of the wrong type"),
        ([], "is empty or of the wrong type"),
        ({"m": "ab"}, "'m' is not two names"),
        ({"m": ["m.left"]}, "'m' is not two names"),
        ({"m": ["m.left", 3]}, "'m' is not two names"),
        ({"m": ["m.left", "m.right", "m.left"]}, "'m' is not two names"),
    ],
    ids=str,
)
def test_a_table_of_corrections_of_another_form_is_refused(corrected, compressor, forge, table, message):
    good = encode({}, corrected, b"", compressor)
    refused(forge(good, columns("corrections", lambda _: table)), message)


def test_an_alias_cannot_be_the_name_of_a_factor(corrected, compressor):
    wrong = replace(corrected, aliases={"tied": "m.left"})
    with pytest.raises(ArtifactError, match=r"'m\.left' corrects 'm' and is used elsewhere"):
        encode({}, wrong, b"", compressor)


def test_forging_without_change_is_accepted(data, forge):
    assert decode(forge(data, lambda root: None)).header == decode(data).header


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"a":NaN}',
        b"[" * 100_000,
        b"9" * 5000,
        b'{"a":"\\ud800"}',
        b'{"a": 1}',
    ],
    ids=lambda text: repr(text[:12]),
)
def test_unreadable_header_is_refused(data, forge, text):
    refused(forge.put_together(data, text, forge.take_apart(data)[2]), "artifact: (its|the) header")


def test_absurd_sizes_are_refused_without_allocating(data, forge):
    streams = forge.take_apart(data)[2]
    bombs = [
        forge.put_together(data, b"x" * 50, streams, raw_length=(1 << 32) - 1),
        forge.put_together(data, b"x" * 50, streams, codec=b"zlib", raw_length=1 << 23),
        forge(data, FORGERIES["over the format's limit"]),
        forge(data, lambda root: root["shapes"].__setitem__(0, [1 << 28])),
        forge(data, lambda root: root["shapes"].__setitem__(0, [1 << 29, 0])),
    ]
    for bomb in bombs:
        tracemalloc.start()
        refused(bomb, "artifact:")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 22


def with_arrays(tensor, **arrays):
    return replace(tensor, arrays={**tensor.arrays, **arrays})


def test_writer_refuses_what_the_reader_would(state, header, compressor):
    tensors = {tensor.name: tensor for tensor in state.tensors}
    up, scale = tensors["blocks.0.mlp.up"], tensors["scale"]
    outside = up.arrays["q"].copy()
    outside[0, 0] = 32
    wrong = {
        r"outside the grid -31\.\.31": with_arrays(up, q=outside),
        "a scale that is not a positive number": with_arrays(up, scale=np.zeros(6, np.float16)),
        r"scale is float16\[5\], not float16\[6\]": with_arrays(up, scale=up.arrays["scale"][:5]),
        "q is int16": with_arrays(up, q=up.arrays["q"].astype(np.int16)),
        "no array 'q'": replace(up, arrays={"scale": up.arrays["scale"]}),
        "an unexpected array 'values'": with_arrays(up, values=scale.arrays["values"]),
        "unknown scheme 'nf4'": replace(up, scheme="nf4"),
        "7 bits, where": replace(scale, bits=7),
        "not a finite number": with_arrays(scale, values=np.full(4, np.nan, np.float32)),
    }
    for message, tensor in wrong.items():
        with pytest.raises(ArtifactError, match=message):
            encode(header, QuantizedState((tensor,)), b"", compressor)


def test_writer_refuses_names_that_clash(state, header, compressor):
    with pytest.raises(ArtifactError, match="twice"):
        encode(header, QuantizedState((*state.tensors, state.tensors[0])), b"", compressor)
    with pytest.raises(ArtifactError, match="missing tensor"):
        encode(header, QuantizedState(state.tensors, {"a": "b"}), b"", compressor)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"a": {"b": object()}}, r"header\.a\.b is a object"),
        ({"a": [1, {2: 3}]}, r"header\.a\[1\] has the key 2"),
        ({"a": float("nan")}, "cannot be written"),
        ({"a": b"bytes"}, r"header\.a is a bytes"),
    ],
)
def test_header_that_is_not_plain_json_is_refused_by_place(state, compressor, bad, message):
    with pytest.raises(ArtifactError, match=message):
        encode(bad, state, b"", compressor)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return {"unread": {"a": {"b": value}}}


def test_the_deepest_header_that_is_written_is_read(state, compressor):
    assert decode(encode(nested(95), state, b"", compressor)).header == nested(95)


@pytest.mark.parametrize("depth", [96, 150, 300, 2_000])
def test_a_header_nested_too_deep_is_refused_by_reader_and_writer(data, state, compressor, forge, depth):
    with pytest.raises(ArtifactError, match="nested more than 100 levels deep"):
        encode(nested(depth), state, b"", compressor)
    text = forge.take_apart(data)[1].decode()
    deep = '{"unread":' + '{"a":' * depth + "[[[]]]" + "}" * depth + "}"
    forged = text[: text.index('"run":')] + f'"run":{deep},' + text[text.index('"shapes":') :]
    refused(forge.put_together(data, forged.encode(), forge.take_apart(data)[2]), "nested more than 100 levels")
