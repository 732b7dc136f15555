"""Prepared data on disk: cached by content, complete or absent, verified when opened."""

import json
import random
import shutil
import subprocess

import pytest

from pgolf.core.errors import DataError, UserError
from pgolf.data.audit import audit_tokens
from pgolf.data.dataset import building, check_long_enough, load
from pgolf.data.prepare import prepare_documents, silent
from pgolf.data.shards import documents_of, read_shard, write_shard
from pgolf.data.tiny import Tiny
from pgolf.tokenizer.bpe import BPE
from pgolf.tokenizer.bytes import Bytes


def tiny(seed=0):
    return Tiny(document_count=20, document_bytes=500, text_seed=seed)


@pytest.fixture
def dataset(tmp_path):
    return tiny().prepare(Bytes(), tmp_path, 3000, silent)


def test_same_content_is_prepared_once_and_anything_else_anew(tmp_path, dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.directory.iterdir()}
    again = tiny().prepare(Bytes(), tmp_path, 3000, silent)
    assert (again.directory, again.fingerprint) == (dataset.directory, dataset.fingerprint)
    assert {path: path.stat().st_mtime_ns for path in dataset.directory.iterdir()} == before
    bpe = BPE(vocab_size=300, character_coverage=0.9995, split_digits=False, symbols=[], train_bytes=10**6)
    others = [
        tiny(1).prepare(Bytes(), tmp_path, 3000, silent),
        tiny().prepare(bpe, tmp_path, 3000, silent),
        tiny().prepare(Bytes(), tmp_path, 4000, silent),
    ]
    assert len({found.directory for found in [dataset, *others]}) == 4


def test_two_preparations_are_equal_to_the_last_byte(tmp_path, dataset):
    other = tiny().prepare(Bytes(), tmp_path / "elsewhere", 3000, silent)
    files = sorted(path.name for path in dataset.directory.iterdir())
    assert files == sorted(path.name for path in other.directory.iterdir())
    for name in files:
        assert (dataset.directory / name).read_bytes() == (other.directory / name).read_bytes()


def test_every_document_is_in_exactly_one_split(dataset):
    counts = {split: sum(1 for _ in documents_of(dataset.shards[split], 1)) for split in dataset.shards}
    assert counts == {split: facts.documents for split, facts in dataset.facts.items()}
    assert sum(counts.values()) == 20
    assert len(dataset.shards["train"]) > 1
    splits = {split: documents_of(slices, 1) for split, slices in dataset.shards.items()}
    assert audit_tokens(splits, "data") == 0


def test_interrupted_preparation_leaves_nothing(tmp_path):
    class Stops(Bytes):
        def build(self, *args, **kwargs):
            tokenizer = super().build(*args, **kwargs)

            def encode(text):
                raise KeyboardInterrupt

            tokenizer.encode = encode
            return tokenizer

    with pytest.raises(KeyboardInterrupt):
        tiny().prepare(Stops(), tmp_path, 3000, silent)
    assert not list((tmp_path / "datasets").iterdir())
    assert tiny().prepare(Bytes(), tmp_path, 3000, silent).facts["val"].documents == 2


def test_the_faster_of_two_processes_wins_and_the_other_uses_its_result(tmp_path):
    target = tmp_path / "x"
    with building(target) as slow, building(target) as fast:
        (slow / "manifest.json").write_text("slow")
        (fast / "manifest.json").write_text("fast")
    assert (target / "manifest.json").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_missing_shard_is_an_error(dataset):
    dataset.shards["val"][0].path.unlink()
    with pytest.raises(DataError, match=r"fineweb_val_000000.bin: no such shard"):
        load(dataset.directory)


def test_changed_size_is_an_error_at_every_load(dataset):
    write_shard(dataset.shards["dev"][0].path, [1, 2])
    with pytest.raises(DataError, match="the manifest says"):
        load(dataset.directory)


def test_changed_content_is_an_error_at_every_load_or_for_large_data_of_the_full_check(dataset, monkeypatch):
    path = dataset.shards["train"][0].path
    tokens = read_shard(path).copy()
    tokens[5] ^= 1
    write_shard(path, tokens)
    with pytest.raises(DataError, match=f"checksum differs.*: rm -r {dataset.directory}"):
        load(dataset.directory)
    monkeypatch.setattr("pgolf.data.dataset.VERIFIED_BYTES", 0)
    load(dataset.directory)
    with pytest.raises(DataError, match="checksum differs"):
        load(dataset.directory, full=True)


def test_other_tokenizer_than_the_shards_is_an_error(dataset):
    (dataset.directory / "tokenizer.blob").write_bytes(b'{"kind":"bytes" }\n')
    with pytest.raises(DataError, match="not the tokenizer these shards were made with"):
        load(dataset.directory)


def test_directory_without_manifest_and_damaged_or_newer_manifests_are_errors(dataset, tmp_path):
    with pytest.raises(DataError, match="no prepared data set here"):
        load(tmp_path)
    path = dataset.directory / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"version": 99}))
    with pytest.raises(DataError, match="not a manifest of version 1"):
        load(dataset.directory)
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "splits"}))
    with pytest.raises(DataError, match="damaged"):
        load(dataset.directory)
    path.write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        load(dataset.directory)


def test_corpus_too_short_for_the_window_is_an_error(dataset):
    tokens = min(facts.tokens for facts in dataset.facts.values())
    check_long_enough(dataset, tokens - 1)
    with pytest.raises(DataError, match=f"fewer than the {tokens + 1:,}"):
        check_long_enough(dataset, tokens)


def test_corpus_that_changes_while_it_is_read_is_an_error(tmp_path):
    class Changing(Tiny):
        calls = 0

        def documents(self, split):
            type(self).calls += 1
            yield from super().documents(split)
            if self.calls > 3 and split == "train":
                yield "late", "a late addition"

    corpus = Changing(document_count=20, document_bytes=500, text_seed=0)
    with pytest.raises(DataError, match="changed while it was being read"):
        prepare_documents(
            corpus,
            name="x",
            recipe=Bytes(),
            cache_dir=tmp_path,
            shard_tokens=100,
            progress=lambda *args: None,
        )


def test_cache_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "datasets").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        tiny().prepare(Bytes(), tmp_path, 3000, silent)


def advised(error):
    """The command at the end of the message."""
    return str(error).rpartition(": rm ")[2]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = [truncate, flip, lambda path: path.unlink(), lambda path: path.write_bytes(b""), replace_by_folder]


@pytest.mark.parametrize(
    "name", ["fineweb_train_000001.bin", "fineweb_val_000000.bin", "manifest.json", "tokenizer.blob"]
)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_the_cache_says_what_to_delete_and_that_helps(tmp_path, dataset, name, damage):
    damage(dataset.directory / name)
    with pytest.raises(DataError) as caught:
        tiny().prepare(Bytes(), tmp_path, 3000, silent)
    assert advised(caught.value) == f"-r {dataset.directory}"
    subprocess.run(f"rm {advised(caught.value)}", shell=True, check=True)
    assert tiny().prepare(Bytes(), tmp_path, 3000, silent).fingerprint == dataset.fingerprint


def test_a_folder_that_is_not_ours_is_never_advised_to_be_deleted(tmp_path, dataset):
    (tmp_path / "app").mkdir()
    for content in (
        '{"version": 1, "name": "an app"}',
        "{}",
        "[]",
        '{"version": 1, "tokenizer": {"sha256": 1}}',
    ):
        (tmp_path / "app" / "manifest.json").write_text(content)
        with pytest.raises(DataError) as caught:
            load(tmp_path / "app")
        assert "rm " not in str(caught.value)


def places(node, path=()):
    """Every place in a JSON value."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    yield path
    for key, child in children:
        yield from places(child, (*path, key))


ODD = [None, -1, 10**30, 1.5, "", "x\0y", "/", [], {}, [[]], True, ["a"], {"a": 1}]


def test_no_manifest_whatever_it_says_ends_in_a_traceback(dataset):
    path = dataset.directory / "manifest.json"
    content = json.loads(path.read_text())
    everywhere = [place for place in places(content) if place]
    chance = random.Random(0)
    refused = 0
    for place in everywhere:
        for odd in chance.sample(ODD, 5):
            changed = json.loads(json.dumps(content))
            node = changed
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = odd
            path.write_text(json.dumps(changed))
            try:
                load(dataset.directory).facts["train"].tokens.bit_length()
            except UserError as error:
                refused += 1
                assert advised(error) == f"-r {dataset.directory}"
    assert refused > len(everywhere)


def test_a_manifest_nested_too_deep_is_an_error(dataset):
    path = dataset.directory / "manifest.json"
    content = path.read_text().strip().removesuffix("}")
    for depth in (150, 2_000):
        path.write_text(content + ', "unread": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(DataError, match="nested more than 100 levels deep"):
            load(dataset.directory)


def test_ids_outside_the_vocabulary_are_an_error_where_checksums_are_not_read(dataset, monkeypatch):
    path = dataset.shards["val"][0].path
    tokens = read_shard(path).copy()
    tokens[5] = 60_000
    write_shard(path, tokens)
    monkeypatch.setattr("pgolf.data.dataset.VERIFIED_BYTES", 0)
    with pytest.raises(DataError, match="id 60000 at token 5 is outside the vocabulary of 260"):
        load(dataset.directory).stream("val")


def test_a_data_set_may_be_copied_with_its_shards(dataset, tmp_path):
    copy = shutil.copytree(dataset.directory, tmp_path / "it's a copy")
    assert load(copy, full=True).fingerprint == dataset.fingerprint
    flip(copy / "fineweb_dev_000000.bin")
    with pytest.raises(DataError, match="checksum differs"):
        load(copy)


def test_a_disk_that_fills_up_in_mid_writing_is_an_error(tmp_path, monkeypatch):
    def full(*args, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(DataError, match=r"cannot be written .*No space left"):
        tiny().prepare(Bytes(), tmp_path, 3000, silent)
    assert not list((tmp_path / "datasets").iterdir())
