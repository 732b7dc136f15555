"""Which split a document is in follows from its place in the frozen order, and from nothing else.

#2109: documents prepared in parallel, each part emitting its own first N for validation, made a validation set
of 36,562,944 tokens instead of 43,767,808. Here no part can, as nothing counts what it has emitted.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.data.documents import split_of
from pgolf.data.fineweb_docs import FineWebDocs
from pgolf.data.prepare import prepare_documents, silent
from pgolf.data.text import Text
from pgolf.data.tiny import Tiny
from pgolf.tokenizer.bytes import Bytes

SPLITS = ("train", "dev", "val")


def lines(folder):
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps({"text": f"document {index}\n"}) + "\n" for index in range(60)))
    return path


def make_text(folder):
    return Text(paths=[str(lines(folder))], document_bytes=65536)


def make_docs(folder):
    return FineWebDocs(
        path=str(lines(folder)),
        repo_id="someone/golf",
        revision="main",
        root="datasets",
        validation_documents=7,
        dev_documents=5,
    )


def make_tiny(folder):
    return Tiny(document_count=60, document_bytes=300, text_seed=0)


corpora = pytest.mark.parametrize("make", [make_text, make_docs, make_tiny], ids=["text", "docs", "tiny"])


@given(st.permutations(range(40)), st.integers(1, 8))
def test_parts_in_any_order_agree_with_the_whole(order, parts):
    whole = [split_of(index) for index in range(40)]
    found = {index: split_of(index) for part in range(parts) for index in order[part::parts]}
    assert [found[index] for index in range(40)] == whole


@corpora
def test_splits_are_the_same_in_whatever_order_they_are_visited(tmp_path, make):
    expected = {split: list(make(tmp_path).documents(split)) for split in SPLITS}
    assert sum(map(len, expected.values())) == 60
    corpus = make(tmp_path)
    for split in ("val", "train", "val", "dev", "train"):
        assert list(corpus.documents(split)) == expected[split]
    # All three read at once, a document of each in turn, of one corpus.
    rows = list(zip_longest(*(corpus.documents(split) for split in SPLITS)))
    for column, split in enumerate(SPLITS):
        assert [row[column] for row in rows if row[column] is not None] == expected[split]


def test_the_first_documents_of_the_whole_validate_whoever_reads_them(tmp_path):
    corpus = make_docs(tmp_path)
    with ThreadPoolExecutor(4) as workers:
        found = list(workers.map(lambda worker: list(corpus.documents("val")), range(4)))
    first = [f"document {index}\n" for index in range(7)]
    assert all([text for _, text in part] == first for part in found)


@corpora
def test_preparations_side_by_side_write_the_same_bytes_as_one_alone(tmp_path, make):
    corpus = make(tmp_path)

    def prepare(folder):
        return prepare_documents(
            corpus,
            name="x",
            recipe=Bytes(),
            cache_dir=tmp_path / folder,
            shard_tokens=500,
            progress=silent,
        ).directory

    alone = prepare("alone")
    with ThreadPoolExecutor(3) as workers:
        for directory in workers.map(prepare, ["one", "two", "three"]):
            assert directory.name == alone.name
            files = sorted(path.name for path in alone.iterdir())
            assert files == sorted(path.name for path in directory.iterdir())
            assert all((alone / name).read_bytes() == (directory / name).read_bytes() for name in files)
