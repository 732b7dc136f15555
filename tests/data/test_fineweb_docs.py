"""FineWeb's text in its frozen order: the first documents validate, the last are dev."""

import json

import pytest

from pgolf.core.errors import DataError
from pgolf.data.base import Source, raw_documents
from pgolf.data.fineweb_docs import FineWebDocs
from pgolf.data.prepare import silent
from pgolf.tokenizer.bytes import Bytes


def docs(path, validation=5, dev=2):
    return FineWebDocs(
        path=str(path) if path else None,
        repo_id="someone/golf",
        revision="main",
        root="datasets",
        validation_documents=validation,
        dev_documents=dev,
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "docs_selected.jsonl"
    path.write_text("".join(json.dumps({"text": f"document {index}\n"}) + "\n" for index in range(20)))
    return path


def test_splits_follow_the_frozen_order(path):
    source = docs(path)
    found = {split: [text for _, text in source.documents(split)] for split in ("val", "train", "dev")}
    assert found["val"] == [f"document {index}\n" for index in range(5)]
    assert found["dev"] == ["document 18\n", "document 19\n"]
    assert len(found["train"]) == 13 and found["train"][0] == "document 5\n"


def test_prepared_stream_is_the_text(path, tmp_path):
    dataset = docs(path).prepare(Bytes(), tmp_path / "cache", 50, silent)
    assert dataset.tokenizer.decode(dataset.stream("dev")) == "document 18\ndocument 19\n"
    assert {split: facts.documents for split, facts in dataset.facts.items()} == {
        "train": 13,
        "dev": 2,
        "val": 5,
    }


def test_too_few_documents_and_a_missing_file_are_errors(path, tmp_path):
    with pytest.raises(DataError, match="20 documents are too few for 50,000 of validation"):
        docs(path, validation=50_000).prepare(Bytes(), tmp_path, 50, silent)
    with pytest.raises(DataError, match="cannot be read"):
        docs(tmp_path / "none").prepare(Bytes(), tmp_path, 50, silent)


def test_another_object_finds_the_fetched_text_without_a_network(path, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    cache = tmp_path / "cache"
    snapshot = cache / "hub" / "datasets--someone--golf" / "snapshots" / ("a" * 40) / "datasets"
    snapshot.mkdir(parents=True)
    path.rename(snapshot / path.name)
    (snapshot.parents[2] / "refs").mkdir()
    (snapshot.parents[2] / "refs" / "main").write_text("a" * 40)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert raw_documents(docs(None), cache, "val") == [f"document {index}\n" for index in range(5)]
    with pytest.raises(DataError, match="of someone/golf has not been fetched into"):
        raw_documents(docs(None), tmp_path / "elsewhere", "val")


class Shards(Source):
    """As small as a source may be: everything but ``prepare`` has a default."""

    name = "shards"

    def prepare(self, tokenizer_recipe, cache_dir, shard_tokens, progress):
        raise NotImplementedError


def test_a_source_need_have_nothing_but_prepare(tmp_path):
    assert Shards().fetch(Bytes(), tmp_path, silent) == () and list(Shards().documents("val")) == []


def test_raw_documents_of_a_source_with_its_own_text_and_of_one_without(path, tmp_path):
    assert raw_documents(docs(path), tmp_path, "dev") == ["document 18\n", "document 19\n"]
    assert raw_documents(Shards(), tmp_path, "val") is None
