"""Published shards through the hub's own protocol, served by a small local HTTP server."""

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("huggingface_hub")
import sentencepiece

from pgolf.core.errors import DataError
from pgolf.data.base import raw_documents
from pgolf.data.fineweb import FineWeb, split_tail
from pgolf.data.prepare import silent
from pgolf.data.shards import read_shard, shard_name, sidecar_name, write_shard
from pgolf.tokenizer.blob import identity
from pgolf.tokenizer.bpe import BPE
from pgolf.tokenizer.bytes import Bytes
from pgolf.tokenizer.fixed import FixedTokenizer
from pgolf.tokenizer.published import Published

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "small",
    "red",
    "dog",
    "run",
    "over",
    "old",
    "hill",
    "rain",
]


def document(number):
    """Words in an order that only this number has."""
    return " ".join(WORDS[(number * 7 + step * (number % 5 + 1)) % len(WORDS)] for step in range(30)) + f" {number}"


def model(normalisation="nmt_nfkc"):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(document(number) for number in range(300)), model_writer=out, vocab_size=320,
        model_type="bpe", normalization_rule_name=normalisation, add_dummy_prefix=False, byte_fallback=True,
        split_digits=True, pad_id=0, bos_id=1, eos_id=2, unk_id=3, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return out.getvalue()


def shard(path, processor, numbers):
    ids = [token for number in numbers for token in [1, *processor.encode(document(number))]]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_shard(path, ids)
    return len(ids)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder of a published repository: two variants, 3 training shards and 2 of validation."""
    root = tmp_path_factory.mktemp("repository") / "datasets"
    blob = model()
    processor = sentencepiece.SentencePieceProcessor(model_proto=blob)
    (root / "tokenizers").mkdir(parents=True)
    (root / "tokenizers" / "fineweb_320_bpe.model").write_bytes(blob)
    folder = root / "datasets" / "fineweb10B_sp320"
    for index in range(2):
        count = shard(folder / shard_name("val", index), processor, range(20 * index, 20 * index + 20))
        write_shard(folder / sidecar_name("val", index), np.full(count, 3))
    for index in range(3):
        shard(folder / shard_name("train", index), processor, range(100 + 50 * index, 150 + 50 * index))
    entry = {
        "name": "fineweb10B_sp320",
        "tokenizer_name": "sp_bpe_320",
        "vocab_size": 320,
        "bos_id": 1,
        "eos_id": 2,
        "stats": {"files_train": 3, "files_val": 2},
    }
    tokenizer = {
        "name": "sp_bpe_320",
        "kind": "sentencepiece_bpe",
        "model_path": "tokenizers/fineweb_320_bpe.model",
    }
    manifest = {"datasets": [entry, entry | {"name": "fineweb10B_sp640"}], "tokenizers": [tokenizer]}
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root.parent


@pytest.fixture(autouse=True)
def nothing_but_the_file_protocol(monkeypatch):
    """Newer hub libraries also ask for a registry that only names their callers; keep that off the network."""
    with contextlib.suppress(ImportError):
        from huggingface_hub.utils import _detect_agent

        monkeypatch.setattr(_detect_agent, "_fetch_registry", lambda: None, raising=False)


class Hub:
    """Speaks HEAD and GET of ``/datasets/{repo}/resolve/{revision}/{path}``."""

    def __init__(self, folder):
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self._answer(body=False)

            def do_GET(self):
                self._answer(body=True)

            def _answer(self, body):
                hub.requests.append(f"{self.command} {self.path}")
                start, _, rest = self.path.partition("/resolve/")
                path = folder / rest.partition("/")[2]
                if start not in ("/datasets/someone/golf", "/datasets/other/golf") or not path.is_file():
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hub(published, monkeypatch):
    server = Hub(published)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.stop()


def fineweb(**changed):
    numbers = {"train_shards": 2, "dev_tokens": 400, "overlap_tolerance": 0.0, "sidecars": False}
    place = {"repo_id": "someone/golf", "revision": "main", "root": "datasets", "variant": None, "path": None}
    return FineWeb(**(place | numbers | changed))


def sp320():
    return Published(name="sp320", vocab_size=320, model_file=None)


def test_fetches_all_validation_the_first_training_shards_and_the_model(hub, published, tmp_path):
    dataset = fineweb().prepare(sp320(), tmp_path, 10, silent)
    wanted = {request.rsplit("/", 1)[-1] for request in hub.requests if request.startswith("GET /datasets/")}
    expected = {shard_name("val", 0), shard_name("val", 1), shard_name("train", 0), shard_name("train", 1)}
    assert wanted == expected | {"manifest.json", "fineweb_320_bpe.model"}
    folder = published / "datasets" / "datasets" / "fineweb10B_sp320"
    val = np.concatenate([read_shard(folder / shard_name("val", index)) for index in range(2)])
    assert (dataset.stream("val") == val).all()
    assert dataset.facts["val"].documents == 40 and dataset.facts["val"].raw_bytes is None
    assert dataset.tokenizer.metric == "table" and dataset.tokenizer.name == "sp320"


def test_dev_is_the_tail_of_the_last_shard_and_training_ends_where_it_starts(hub, tmp_path):
    dataset = fineweb().prepare(sp320(), tmp_path, 10, silent)
    train, dev = dataset.shards["train"], dataset.shards["dev"]
    assert dev[0].path == train[-1].path and dev[0].start == train[-1].stop
    assert dataset.stream("dev")[0] == 1 and 0 < dataset.facts["dev"].tokens <= 400
    assert dataset.facts["train"].documents + dataset.facts["dev"].documents == 100


def test_second_call_needs_no_network(hub, tmp_path, monkeypatch):
    first = fineweb().prepare(sp320(), tmp_path, 10, silent)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    again = fineweb().prepare(sp320(), tmp_path, 10, silent)
    assert again.fingerprint == first.fingerprint


def test_whole_cache_may_be_moved(hub, tmp_path):
    fineweb().prepare(sp320(), tmp_path / "here", 10, silent)
    (tmp_path / "here").rename(tmp_path / "there")
    assert fineweb().prepare(sp320(), tmp_path / "there", 10, silent).facts["val"].documents == 40


def test_more_shards_than_published_is_an_error(hub, tmp_path):
    with pytest.raises(DataError, match="train_shards: 4 asked for, sp320 of someone/golf has 3"):
        fineweb(train_shards=4).prepare(sp320(), tmp_path, 10, silent)


def test_unknown_variant_is_an_error_with_the_nearest(hub, tmp_path):
    with pytest.raises(DataError, match=r"no 'sp321', only sp320, sp640\. Did you mean 'sp320'"):
        fineweb(variant="sp321").prepare(sp320(), tmp_path, 10, silent)
    with pytest.raises(DataError, match="no 'byte260'"):
        fineweb().prepare(Bytes(), tmp_path, 10, silent)


def test_tokenizer_that_does_not_match_the_shards_is_an_error(hub, tmp_path):
    with pytest.raises(DataError, match=r"does not match the shards .* vocab_size 320 where the tokenizer has 260"):
        fineweb(variant="sp320").prepare(Bytes(), tmp_path, 10, silent)


def test_file_that_the_repository_lacks_is_an_error_that_names_it(hub, tmp_path):
    with pytest.raises(DataError, match=r"datasets/fineweb10B_sp640/fineweb_val_000000.bin of someone/golf cannot be"):
        fineweb(variant="sp640").prepare(sp320(), tmp_path, 10, silent)
    assert not (tmp_path / "datasets").exists()


def test_unreachable_server_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the hub library's pauses between attempts
    with pytest.raises(DataError, match=r"manifest.json of someone/golf cannot be fetched from http://127.0.0.1:1"):
        fineweb().prepare(sp320(), tmp_path, 10, silent)


def test_manifest_cache_is_kept_by_repository(hub, tmp_path):
    fineweb().prepare(sp320(), tmp_path, 10, silent)
    fineweb(repo_id="other/golf").prepare(sp320(), tmp_path, 10, silent)
    asked = [request for request in hub.requests if request.startswith("GET") and request.endswith("manifest.json")]
    assert len(asked) == 2
    assert len(list((tmp_path / "hub").glob("datasets--*"))) == 2


def test_validation_inside_training_is_an_error_that_names_the_documents(hub, published, tmp_path):
    path = published / "datasets" / "datasets" / "fineweb10B_sp320" / shard_name("train", 0)
    original = path.read_bytes()
    try:
        path.write_bytes((path.parent / shard_name("val", 1)).read_bytes())
        with pytest.raises(DataError, match=r"20 of \d+ held-out documents .* val 'document 20' is train 'document 0'"):
            fineweb().prepare(sp320(), tmp_path, 10, silent)
        assert fineweb(overlap_tolerance=0.5).prepare(sp320(), tmp_path, 10, silent).facts["train"].documents > 0
    finally:
        path.write_bytes(original)


def test_foreign_shard_and_foreign_ids_are_errors(hub, published, tmp_path):
    path = published / "datasets" / "datasets" / "fineweb10B_sp320" / shard_name("train", 1)
    original = path.read_bytes()
    try:
        path.write_bytes(original[:-2])
        with pytest.raises(DataError, match="the header says"):
            fineweb().prepare(sp320(), tmp_path / "short", 10, silent)
        write_shard(path, [1, 5, 320])
        with pytest.raises(DataError, match="id 320 at token 2 is outside the vocabulary of 320"):
            fineweb().prepare(sp320(), tmp_path / "ids", 10, silent)
    finally:
        path.write_bytes(original)


def test_sidecars_are_fetched_checked_and_used(hub, tmp_path):
    dataset = fineweb(sidecars=True).prepare(sp320(), tmp_path, 10, silent)
    assert (dataset.target_bytes("val", 100) == 3).all() and len(dataset.target_bytes("val", 100)) == 99
    assert (dataset.sidecar_target_bytes("val", 100) == 3).all()
    assert dataset.sidecar_target_bytes("dev") is None


def test_tail_without_a_document_start_or_that_is_everything_is_an_error(tmp_path):
    path = tmp_path / "x.bin"
    write_shard(path, [1, 5, 5, 1, 6, 6, 6])
    train, dev = split_tail((path,), 5, 1)
    assert [(piece.start, piece.stop) for piece in (*train, *dev)] == [(0, 3), (3, 7)]
    with pytest.raises(DataError, match="no document's start"):
        split_tail((path,), 2, 1)
    write_shard(path, [1, 5, 5])
    with pytest.raises(DataError, match="leave nothing for training"):
        split_tail((path,), 5, 1)


def test_missing_extra_is_an_error_that_names_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"pip install 'pgolf\[data\]'"):
        fineweb().prepare(sp320(), tmp_path, 10, silent)


def test_another_model_of_the_same_name_is_another_dataset(hub, published, tmp_path):
    def with_model(name, blob):
        path = tmp_path / name
        path.write_bytes(blob)
        return Published(name="sp320", vocab_size=320, model_file=str(path))

    def prepare(recipe):
        return fineweb().prepare(recipe, tmp_path / "cache", 10, silent)

    same = (published / "datasets" / "tokenizers" / "fineweb_320_bpe.model").read_bytes()
    first = prepare(sp320())
    other = prepare(with_model("other.model", model("identity")))
    assert other.directory != first.directory
    assert identity(other.tokenizer) != identity(first.tokenizer)
    assert prepare(with_model("other.model", model("identity"))).directory == other.directory
    assert prepare(with_model("same.model", same)).directory == first.directory
    assert prepare(FixedTokenizer(first.tokenizer)).directory == first.directory
    assert prepare(FixedTokenizer(other.tokenizer)).directory == other.directory
    assert identity(prepare(sp320()).tokenizer) == identity(first.tokenizer)


def test_vocabulary_is_checked_on_a_cache_hit_too(hub, tmp_path):
    fineweb().prepare(sp320(), tmp_path, 10, silent)
    wrong = Published(name="sp320", vocab_size=640, model_file=None)
    with pytest.raises(DataError, match="vocab_size 320 where the tokenizer has 640"):
        fineweb().prepare(wrong, tmp_path, 10, silent)


@pytest.mark.parametrize("damage", ["flip", "truncate", "unlink", "cut link"])
def test_damage_to_a_fetched_shard_says_what_to_delete_and_that_helps(hub, tmp_path, damage):
    good = fineweb().prepare(sp320(), tmp_path, 10, silent)
    link = good.shards["val"][0].path
    file = link.resolve()
    raw = file.read_bytes()
    if damage == "flip":
        file.write_bytes(raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:])
    elif damage == "truncate":
        file.write_bytes(raw[:-3])
    else:
        (file if damage == "cut link" else link).unlink()
    with pytest.raises(DataError) as caught:
        fineweb().prepare(sp320(), tmp_path, 10, silent)
    command = str(caught.value).rpartition("to have it fetched anew: ")[2]
    assert command.startswith("rm -r ") and str(good.directory) in command
    subprocess.run(command.replace("rm -r", "rm -rf"), shell=True, check=True)
    assert fineweb().prepare(sp320(), tmp_path, 10, silent).fingerprint == good.fingerprint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xef\xbb\xbf{}", "has no 'sp320', only nothing"),
        (b"[]", "not a JSON object"),
        (b'{"datasets": 5}', "only nothing"),
        (b'{"datasets": [5, "x", {"name": ["fineweb10B_sp320"]}]}', "has no 'sp320'"),
        (b'{"datasets": [{"name": "fineweb10B_sp320", "stats": [1]}]}', "does not say how many shards"),
        (
            b'{"datasets": [{"name": "fineweb10B_sp320", "stats": {"files_train": 3, "files_val": 0}}]}',
            "no validation",
        ),
        (b'{"unread": ' + b"[" * 2_000 + b"]" * 2_000 + b"}", "nested more than 100 levels deep"),
        (b"\xff", "not UTF-8"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_a_published_manifest_that_is_none_is_an_error(hub, published, tmp_path, content, said):
    path = published / "datasets" / "manifest.json"
    original = path.read_bytes()
    try:
        path.write_bytes(content)
        with pytest.raises(DataError, match=said):
            fineweb().prepare(sp320(), tmp_path, 10, silent)
    finally:
        path.write_bytes(original)


def test_damaged_published_model_says_what_to_delete(hub, published, tmp_path):
    path = published / "datasets" / "tokenizers" / "fineweb_320_bpe.model"
    original = path.read_bytes()
    try:
        path.write_bytes(original[:100])
        with pytest.raises(DataError, match=r"fineweb_320_bpe.model: .*not a sentencepiece model.*anew: rm /"):
            fineweb().prepare(sp320(), tmp_path, 10, silent)
    finally:
        path.write_bytes(original)


@pytest.fixture
def folder(published, tmp_path):
    """A copy of the published shards with nothing beside them: no manifest, no model, no network."""
    place = tmp_path / "datasets" / "fineweb10B_sp320"
    shutil.copytree(published / "datasets" / "datasets" / "fineweb10B_sp320", place)
    return place


@pytest.fixture
def with_model(folder, published):
    shutil.copytree(published / "datasets" / "tokenizers", folder.parent.parent / "tokenizers")
    return folder


def test_a_folder_of_published_shards_needs_no_manifest_and_no_network(with_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    source = fineweb(path=str(with_model), train_shards=3)
    assert source.fetch(sp320(), tmp_path, silent) == ()
    dataset = source.prepare(sp320(), tmp_path / "cache", 10, silent)
    joined = np.concatenate([read_shard(with_model / shard_name("val", index)) for index in range(2)])
    assert (dataset.stream("val") == joined).all() and dataset.tokenizer.name == "sp320"
    assert dataset.facts["train"].documents + dataset.facts["dev"].documents == 150
    assert raw_documents(source, tmp_path, "val") is None
    assert source.prepare(sp320(), tmp_path / "cache", 10, silent).directory == dataset.directory


def test_a_folder_gives_what_fetching_gives(hub, with_model, tmp_path):
    fetched = fineweb(sidecars=True).prepare(sp320(), tmp_path / "a", 10, silent)
    at_hand = fineweb(sidecars=True, path=str(with_model)).prepare(sp320(), tmp_path / "b", 10, silent)
    assert at_hand.fingerprint == fetched.fingerprint and at_hand.facts == fetched.facts
    assert (at_hand.target_bytes("val") == fetched.target_bytes("val")).all()


def test_the_model_may_lie_among_the_shards_or_be_named(folder, published, tmp_path):
    model_file = published / "datasets" / "tokenizers" / "fineweb_320_bpe.model"
    with pytest.raises(DataError, match=r"its model comes with data=fineweb.*tokenizer.model_file=PATH"):
        fineweb(path=str(folder)).prepare(sp320(), tmp_path / "cache", 10, silent)
    named = Published(name="sp320", vocab_size=320, model_file=str(model_file))
    first = fineweb(path=str(folder)).prepare(named, tmp_path / "cache", 10, silent)
    shutil.copy(model_file, folder / "any.model")
    second = fineweb(path=str(folder)).prepare(sp320(), tmp_path / "cache2", 10, silent)
    assert identity(second.tokenizer) == identity(first.tokenizer)


def test_shards_of_another_vocabulary_are_refused_by_the_name_of_their_folder(with_model, tmp_path):
    with pytest.raises(DataError, match=r"holds sp320 by its name.*choose tokenizer=sp320, or .*data.variant=sp320"):
        fineweb(path=str(with_model)).prepare(Bytes(), tmp_path, 10, silent)
    renamed = with_model.rename(with_model.parent / "mine")
    with pytest.raises(DataError, match="is outside the vocabulary of 260"):
        fineweb(path=str(renamed)).prepare(Bytes(), tmp_path, 10, silent)
    bpe = BPE(vocab_size=400, character_coverage=1.0, split_digits=False, symbols=[], train_bytes=9)
    with pytest.raises(DataError, match="published shards come without text"):
        fineweb(path=str(renamed)).prepare(bpe, tmp_path, 10, silent)


def test_what_a_folder_lacks_is_named(with_model, tmp_path):
    def refused(said, **changed):
        with pytest.raises(DataError, match=said):
            fineweb(path=str(with_model), **changed).prepare(sp320(), tmp_path / "cache", 10, silent)

    refused("data.train_shards: 4 asked for, .*fineweb10B_sp320 has 3", train_shards=4)
    (with_model / sidecar_name("val", 1)).unlink()
    refused("data.sidecars: .* has 1 of them for 2 shards", sidecars=True)
    (with_model / shard_name("train", 1)).unlink()
    refused("fineweb_train_000001.bin is missing, the next one is fineweb_train_000002.bin")
    for path in with_model.glob("fineweb_train_*"):
        path.unlink()
    refused("has no fineweb_train_000000.bin")
    shutil.rmtree(with_model)
    refused("no such folder")


def test_validation_that_begins_in_the_middle_of_a_document_is_refused(with_model, tmp_path):
    path = with_model / shard_name("val", 0)
    write_shard(path, read_shard(path)[1:].copy())
    with pytest.raises(DataError, match=r"fineweb_val_000000\.bin: does not begin with BOS \(id 1\)"):
        fineweb(path=str(with_model)).prepare(sp320(), tmp_path / "cache", 10, silent)


def test_a_shard_changed_in_its_folder_is_an_error_that_deletes_nothing_of_the_users(with_model, tmp_path):
    source = fineweb(path=str(with_model))
    first = source.prepare(sp320(), tmp_path / "cache", 10, silent)
    path = with_model / shard_name("train", 0)
    tokens = read_shard(path).copy()
    tokens[7] += 1
    write_shard(path, tokens)
    with pytest.raises(DataError, match=rf"put the file back .*: rm -r {first.directory}$"):
        source.prepare(sp320(), tmp_path / "cache", 10, silent)
    write_shard(path, tokens[:-5])  # another size is another data set
    assert source.prepare(sp320(), tmp_path / "cache", 10, silent).directory != first.directory
