"""Byte tokens: id = byte + 4, BOS carries nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.bytes import Bytes, ByteTokenizer


@given(text=st.text())
def test_every_text_comes_back_and_every_byte_is_counted(text):
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.byte_lengths(np.concatenate([[1], ids])).sum() == len(text.encode())


def test_ids_are_bytes_plus_four_and_bos_is_one():
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("A\xff").tolist() == [69, 0xC3 + 4, 0xBF + 4]
    assert (tokenizer.bos_id, tokenizer.vocab_size, tokenizer.metric) == (1, 260, "raw")
    assert tokenizer.byte_lengths(np.array([1, 69, 1, 69])).tolist() == [1, 0, 1]


def test_recipe_and_blob_give_the_same_tokenizer(tmp_path):
    blob = Bytes().build(lambda: iter(()), tmp_path, "").to_blob()
    assert len(blob) < 20 and from_blob(blob).to_blob() == blob


DEEP = b'{"kind":"bytes","unread":' + b"[" * 2_000 + b"]" * 2_000 + b"}\n"


@pytest.mark.parametrize(
    "blob",
    [
        *(b"", b"\x00\x01", b"[]\n", b'{"kind":"other"}\n', b'{"kind":"bpe"}\n', b'{"kind":[]}\n'),
        *(b"9" * 5000, b"{}\n", b"\xff\n", DEEP),
    ],
    ids=lambda blob: repr(blob[:16]),
)
def test_foreign_blobs_are_refused(blob):
    with pytest.raises(DataError, match="tokenizer"):
        from_blob(blob)
