"""The published shard format, byte for byte, and everything a reader and a writer must refuse."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.data.shards import (
    ShardSlice,
    ShardWriter,
    documents_of,
    find_shards,
    find_sidecars,
    read_shard,
    read_stream,
    shard_name,
    sidecar_name,
    whole,
    write_shard,
)


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / shard_name("val", 0)
    write_shard(path, [1, 7, 65535])
    return path


def damage(path, offset, value):
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 4] = struct.pack("<i", value)
    path.write_bytes(raw)


def test_layout_is_the_published_one(shard):
    raw = shard.read_bytes()
    assert struct.unpack("<256i", raw[:1024]) == (20240520, 1, 3, *([0] * 253))
    assert raw[1024:] == struct.pack("<3H", 1, 7, 65535)
    assert shard.name == "fineweb_val_000000.bin"
    assert read_shard(shard).tolist() == [1, 7, 65535]


@given(ids=st.lists(st.integers(0, 65535), max_size=50))
def test_what_is_written_is_read(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("shards") / "x.bin"
    write_shard(path, np.array(ids, dtype=np.int64))
    assert read_shard(path).tolist() == ids


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such shard"):
        read_shard(tmp_path / "none.bin")


def test_short_header_is_an_error(shard):
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(DataError, match="short header, 1000 of 1024"):
        read_shard(shard)


def test_foreign_magic_is_an_error(shard):
    damage(shard, 0, 20240801)
    with pytest.raises(DataError, match="not a token shard"):
        read_shard(shard)


def test_other_version_is_an_error(shard):
    damage(shard, 4, 2)
    with pytest.raises(DataError, match="version 2"):
        read_shard(shard)


@pytest.mark.parametrize("count", [2, 4, -1])
def test_size_that_contradicts_the_header_is_an_error(shard, count):
    damage(shard, 8, count)
    with pytest.raises(DataError, match="the header says"):
        read_shard(shard)


def test_truncated_shard_is_an_error(shard):
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DataError, match="the header says 3 tokens"):
        read_shard(shard)


def test_ids_outside_the_vocabulary_are_named_on_request(shard):
    with pytest.raises(DataError, match="id 65535 at token 2 is outside the vocabulary of 1024"):
        read_shard(shard, vocab_size=1024)


@pytest.mark.parametrize("ids", [[1, 1024], [1, -1], [1, 70000]])
def test_writer_refuses_bad_ids_and_leaves_nothing(tmp_path, ids):
    with pytest.raises(DataError, match="outside the vocabulary"):
        write_shard(tmp_path / "x.bin", ids, vocab_size=1024)
    assert not list(tmp_path.iterdir())


def test_writer_refuses_two_to_the_31_tokens(tmp_path):
    huge = np.broadcast_to(np.uint16(1), (2**31,))
    with pytest.raises(DataError, match=r"fewer than 2\^31"):
        write_shard(tmp_path / "x.bin", huge)
    with pytest.raises(DataError, match="shard_tokens"):
        ShardWriter(directory=tmp_path, split="train", vocab_size=9, bos_id=1, tokens_per_shard=2**31)


def test_failed_write_keeps_the_old_shard(shard, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DataError, match="No space left"):
        write_shard(shard, [1, 2])
    assert read_shard(shard).tolist() == [1, 7, 65535]
    assert [path.name for path in shard.parent.iterdir()] == [shard.name]


def test_shard_writer_splits_at_its_size_and_documents_straddle(tmp_path):
    writer = ShardWriter(directory=tmp_path, split="train", vocab_size=99, bos_id=1, tokens_per_shard=4)
    documents = [[10, 11], [12, 13, 14, 15, 16], [], [17]]
    for ids in documents:
        writer.add(np.array(ids, dtype=np.uint16))
    paths = writer.close()
    assert [path.name for path in paths] == [shard_name("train", index) for index in range(3)]
    assert [len(read_shard(path)) for path in paths] == [4, 4, 4]
    assert (writer.tokens, writer.documents) == (12, 4)
    assert read_stream(whole(paths)).tolist() == [1, 10, 11, 1, 12, 13, 14, 15, 16, 1, 1, 17]
    assert [found[1:].tolist() for found in documents_of(whole(paths), 1)] == documents


def test_last_shard_may_be_short_and_an_exact_fit_leaves_no_empty_one(tmp_path):
    for split, count, sizes in (("train", 5, [3, 3]), ("val", 2, [3]), ("dev", 3, [3, 1])):
        writer = ShardWriter(directory=tmp_path, split=split, vocab_size=9, bos_id=1, tokens_per_shard=3)
        writer.add(np.full(count, 5, dtype=np.uint16))
        assert [len(read_shard(path)) for path in writer.close()] == sizes


def test_sidecars_match_the_glob_but_are_no_token_shards(tmp_path):
    for index in (1, 0):
        write_shard(tmp_path / shard_name("val", index), [1])
        write_shard(tmp_path / sidecar_name("val", index), [0])
    assert [path.name for path in find_shards(tmp_path, "val")] == [
        "fineweb_val_000000.bin",
        "fineweb_val_000001.bin",
    ]
    assert [path.name for path in find_sidecars(tmp_path, "val")] == [
        sidecar_name("val", 0),
        sidecar_name("val", 1),
    ]
    assert not find_shards(tmp_path, "train")


def test_stream_reads_slices_in_order_up_to_a_limit(shard):
    slices = (ShardSlice(shard, 1, 3), ShardSlice(shard, 0, 1))
    assert read_stream(slices).tolist() == [7, 65535, 1]
    assert read_stream(slices, 2).tolist() == [7, 65535]
    with pytest.raises(DataError, match="no tokens"):
        read_stream(())
    with pytest.raises(DataError, match="were asked for"):
        ShardSlice(shard, 0, 4).open()


def test_tokens_before_the_first_document_of_a_slice_are_not_a_document(tmp_path):
    write_shard(tmp_path / "x.bin", [5, 6, 1, 7, 1, 8])
    assert [found.tolist() for found in documents_of(whole([tmp_path / "x.bin"]), 1)] == [[1, 7], [1, 8]]
