"""Tokenizing on several processes gives the shards of one, to the byte, with one split for all."""

import itertools
import os

import pytest

from pgolf.core.errors import DataError
from pgolf.data import parallel
from pgolf.data.fineweb_docs import FineWebDocs
from pgolf.data.parallel import ParallelEncode
from pgolf.data.prepare import encode_each, silent
from pgolf.data.shards import documents_of
from pgolf.tokenizer.bpe import BPE
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.data.jsonl import write_documents


def texts(count=60):
    return [
        f"Document {index}. " + f"Words that differ: {index * 7919:x}. " * (index % 9 + 1) for index in range(count)
    ]


def source(path):
    return FineWebDocs(
        path=str(path), repo_id="x/y", revision="main", root="r", validation_documents=20, dev_documents=10
    )


def files_of(dataset):
    return {path.name: path.read_bytes() for path in sorted(dataset.directory.iterdir())}


RECIPE = BPE(vocab_size=320, character_coverage=1.0, split_digits=False, symbols=[], train_bytes=10**6)


@pytest.fixture(autouse=True)
def batches_of_a_few_documents(monkeypatch):
    """They end inside splits and shards."""
    monkeypatch.setattr(parallel, "BATCH_CHARACTERS", 500)


@pytest.fixture(scope="module")
def two():
    """Two workers for all tests: what they import takes seconds."""
    with ParallelEncode(2) as encode:
        yield encode


@pytest.fixture
def serial(tmp_path):
    path = write_documents(tmp_path / "docs.jsonl", texts())
    return path, source(path).prepare(RECIPE, tmp_path / "one", 500, silent)


def assert_same(serial, encode, cache):
    path, alone = serial
    many = source(path)
    many.encode = encode
    found = many.prepare(RECIPE, cache, 500, silent)
    assert files_of(found) == files_of(alone) and len(files_of(alone)) > 6
    assert found.fingerprint == alone.fingerprint
    validation = [found.tokenizer.decode(ids[1:]) for ids in documents_of(found.shards["val"], 1)]
    assert validation == texts()[:20], "the first documents of the whole list, once"


def test_prepared_on_two_processes_a_corpus_is_the_same_to_the_byte(serial, two, tmp_path):
    assert_same(serial, two, tmp_path / "many")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3, 4])
def test_and_on_any_other_number(serial, workers, tmp_path):
    with ParallelEncode(workers) as encode:
        assert_same(serial, encode, tmp_path / "many")


def test_documents_are_read_no_further_ahead_than_a_few_batches(serial, two, monkeypatch):
    monkeypatch.setattr(parallel, "BATCH_CHARACTERS", 1)
    read = []

    def documents():
        for index in range(100):
            read.append(index)
            yield str(index), "abc"

    found = two(serial[1].tokenizer, documents())
    assert [name for name, _, _ in itertools.islice(found, 5)] == list("01234")
    assert len(read) <= 5 + 2 * parallel.BATCHES_PER_WORKER
    found.close()


def test_what_cannot_be_encoded_is_the_same_error_as_in_one_process(serial, two):
    documents = [("a", "fine"), ("b", "lone \ud801 surrogate")]
    for encode in (encode_each, two):
        with pytest.raises(DataError, match="lone surrogate"):
            list(encode(serial[1].tokenizer, iter(documents)))


@pytest.mark.slow
def test_a_worker_that_ends_is_an_error_and_no_silence():
    with ParallelEncode(1) as encode:
        found = encode(ByteTokenizer(), iter([("a", "x" * 1000)] * 200))
        next(found)
        for process in list(encode._pool._processes.values()):
            os.kill(process.pid, 9)
        with pytest.raises(DataError, match="a process that tokenizes has ended"):
            list(found)
