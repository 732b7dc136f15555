"""JSON of others: whatever the bytes are, a value or one error of the asked kind that names the place."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.errors import DataError, RunError, UserError
from pgolf.core.json_text import MAX_DEPTH, parse_json, read_json, too_deep

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def nested(depth, left="[", right="]"):
    return (left * depth + right * depth).encode()


@given(value=values, mark=st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_what_json_writes_is_read_with_and_without_a_byte_order_mark(value, mark):
    assert parse_json(mark + json.dumps(value).encode(), "x", DataError) == value


@given(raw=st.binary())
def test_any_bytes_give_a_value_or_the_error_that_was_asked_for(raw):
    try:
        parse_json(raw, "the place", RunError)
    except RunError as error:
        assert str(error).startswith("the place: ")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 2_000, 100_000])
@pytest.mark.parametrize("shape", ["lists", "mappings", "both"])
def test_a_value_too_deep_for_whoever_walks_it_is_refused_at_any_depth(depth, shape):
    key = '{"a":'
    raw = {
        "lists": nested(depth),
        "mappings": (key * (depth - 1) + "{}" + "}" * (depth - 1)).encode(),
        "both": (f"[{key}" * (depth // 2) + "[]" + "}]" * (depth // 2)).encode(),
    }[shape]
    with pytest.raises(DataError, match=f"^x: nested more than {MAX_DEPTH} levels deep$"):
        parse_json(b'{"needed": 1, "unread": ' + raw + b"}", "x", DataError)


def test_the_deepest_that_is_read_can_be_walked_and_written_by_recursion():
    value = parse_json(nested(MAX_DEPTH), "x", DataError)
    assert json.dumps(value).encode() == nested(MAX_DEPTH) and not too_deep(value)
    assert too_deep([value]) and sys.getrecursionlimit() > MAX_DEPTH * 5
    wide = json.dumps([[[]] * 1000] * 3).encode()
    assert len(parse_json(wide, "x", DataError)) == 3


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"1" * 5000, "not JSON"),
        (b'{"a": \xff}', r"not UTF-8 \(byte 0xff at 6\)"),
        ("{}".encode("utf-16"), r"not UTF-8 \(byte 0xff at 0\)"),
    ],
)
def test_files_are_named_with_what_is_wrong_with_them(tmp_path, raw, said):
    path = tmp_path / "x.json"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=f"x.json: {said}"):
        read_json(path, UserError)


def test_places_that_cannot_be_read_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=f"{path}: cannot be read"):
            read_json(path, DataError)
