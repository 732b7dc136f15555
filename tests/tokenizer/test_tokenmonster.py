"""A TokenMonster vocabulary by a stand-in of its package: no pickle, exact bytes, a blob that decodes alone.

The package itself runs an executable from a hub, so that its own search is not run here; where it is installed with its
executable the last test is.
"""

import io
import json
import os
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.tokenmonster import TokenMonster, metadata_beside, read_metadata

PACKAGE = "tokenmonster"
PIECES = [b"a", b"b", b" ", b" ab", b"\xc3", b"\xa9", b"ab", b"\n"]
SIZE, BOS = 12, 9  # id 8 is unused, 10 and 11 are beyond the metadata


class StandIn(types.ModuleType):
    """Loads a header of 17 bytes and JSON; takes the longest piece at each place."""

    class Vocab:
        _dir: str
        _bin = "server"

        @classmethod
        def _set_local_directory(cls):
            pass

        def __init__(self, raw):
            self.raw, self.pieces = raw, [bytes.fromhex(piece) for piece in json.loads(raw[17:])]

        def get_dictionary(self):
            return {
                index: {"token_decoded": piece.decode("latin-1")} for index, piece in enumerate(self.pieces) if piece
            }

        def tokenize(self, data):
            found = []
            while data:
                best = max((p for p in self.pieces if p and data.startswith(p)), key=len)
                found.append(self.pieces.index(best))
                data = data[len(best) :]
            return found

        def save(self, path):
            Path(path).write_bytes(self.raw)

    def load(self, path):
        return self.Vocab(Path(path).read_bytes())

    def new(self, yaml):
        return self.Vocab(bytes(17) + yaml)


@pytest.fixture
def package(monkeypatch, tmp_path):
    module = StandIn("tokenmonster")
    module.Vocab._dir = str(tmp_path / "server")
    os.mkdir(module.Vocab._dir)
    (tmp_path / "server" / "server").write_text("")
    monkeypatch.setitem(sys.modules, "tokenmonster", module)
    return module


def metadata(**changed):
    entries = {
        "format_version": np.array(1),
        "tokenizer_kind": np.array("tokenmonster"),
        "source_model_name": np.array("stand-in"),
        "vocab_size": np.array(10),
        "base_bytes": np.array([len(piece) for piece in PIECES] + [0, 0], np.int16),
        "has_leading_space": np.zeros(10, bool),
        "is_boundary_token": np.arange(10) == BOS,
    }
    return {name: value for name, value in (entries | changed).items() if value is not None}


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "x.vocab"
    path.write_bytes(bytes(17) + json.dumps([piece.hex() for piece in PIECES]).encode())
    np.savez(tmp_path / "x.meta.npz", **metadata())
    return path


def recipe(path, **changed):
    numbers = {"name": "x", "vocab_size": SIZE, "metadata_file": None, "fetch_server": False}
    return TokenMonster(**(numbers | {"vocabulary_file": None if path is None else str(path)} | changed))


def build(path, **changed):
    return recipe(path, **changed).build(lambda: iter(()), Path("unused"), "")


def test_text_comes_back_and_every_byte_is_counted(package, vocabulary):
    tokenizer = build(vocabulary)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.metric) == (SIZE, BOS, "table")
    for text in ("", "a", "ab ab\né", " ab"):
        ids = tokenizer.encode(text)
        assert ids.dtype == np.uint16 and tokenizer.decode(ids) == text
        stream = np.array([BOS, *ids, BOS, *ids], dtype=np.uint16)
        assert tokenizer.byte_lengths(stream).sum() == 2 * len(text.encode())


def test_ids_beyond_the_metadata_have_no_bytes_and_are_boundaries(vocabulary, tmp_path):
    table = read_metadata(tmp_path / "x.meta.npz", SIZE).table
    assert table.bytes_V.tolist() == [1, 1, 1, 3, 1, 1, 2, 1, 0, 0, 0, 0] and table.bytes_V.dtype == np.int64
    assert table.bound_V.tolist() == [False] * 9 + [True] * 3 and not table.lead_V.any()


def test_a_vocabulary_in_yaml_is_saved_as_one(package, vocabulary, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(vocabulary.read_bytes()[17:])
    assert build(path).to_blob() == build(vocabulary).to_blob()


def test_the_artifact_decodes_and_counts_without_the_package_and_encodes_with_it(package, vocabulary, monkeypatch):
    tokenizer = build(vocabulary)
    ids = tokenizer.encode("ab é")
    monkeypatch.setitem(sys.modules, "tokenmonster", None)
    again = from_blob(tokenizer.to_blob())
    assert again.to_blob() == tokenizer.to_blob() and again.decode(ids) == "ab é"
    assert (again.byte_lengths(np.array([BOS, *ids])) == tokenizer.byte_lengths(np.array([BOS, *ids]))).all()
    with pytest.raises(DataError, match=r"package is not installed: pip install 'pgolf\[tokenmonster\]'"):
        again.encode("a")
    monkeypatch.setitem(sys.modules, "tokenmonster", package)
    assert (again.encode("ab é") == ids).all()


def test_the_server_is_not_fetched_unasked(package, vocabulary, tmp_path):
    (tmp_path / "server" / "server").unlink()
    with pytest.raises(DataError, match=r"runs an executable that is not at .*tokenizer\.fetch_server=true allows it"):
        build(vocabulary)
    assert build(vocabulary, fetch_server=True).bos_id == BOS


@pytest.mark.parametrize(
    ("name", "beside"),
    [("x.model", "x.meta.npz"), ("x.vocab", "x.meta.npz"), ("x.yaml", "x.meta.npz"), ("x.bin", "x.bin.meta.npz")],
)
def test_metadata_lies_beside_the_vocabulary(name, beside):
    assert metadata_beside(Path("/a") / name) == Path("/a") / beside


class Boom:
    def __reduce__(self):
        return (os.system, ("touch boom",))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base_bytes": None}, "lacks base_bytes"),
        ({"format_version": np.array(2)}, "format_version 2 of 'tokenmonster', this program reads 1"),
        ({"tokenizer_kind": np.array("bpe")}, "format_version 1 of 'bpe'"),
        ({"vocab_size": np.array(11)}, r"base_bytes int16\[10\], .* where vocab_size is 11"),
        ({"vocab_size": np.array("x")}, "where vocab_size is x"),
        ({"base_bytes": np.zeros(10, np.int64)}, r"base_bytes int64\[10\]"),
        ({"base_bytes": np.full(10, -1, np.int16)}, "id 0 has -1 bytes"),
        ({"has_leading_space": np.array([Boom()] * 10, dtype=object)}, "no metadata that can be read .*pickle"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_metadata_of_another_kind_is_refused(tmp_path, monkeypatch, changed, said):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "x.meta.npz", **metadata(**changed))
    with pytest.raises(DataError, match=said):
        read_metadata(tmp_path / "x.meta.npz", SIZE)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", "half"])
def test_damaged_metadata_are_an_error(vocabulary, tmp_path, damage):
    path = tmp_path / "x.meta.npz"
    path.write_bytes(path.read_bytes()[:500] if damage == "half" else damage)
    with pytest.raises(DataError, match=r"x\.meta\.npz: "):
        read_metadata(path, SIZE)


def test_byte_tokens_of_three_bytes_are_named_as_the_withdrawn_vocabulary_has_them(package, vocabulary, tmp_path):
    wrong = metadata()["base_bytes"]
    wrong[[4, 5]] = 3
    np.savez(tmp_path / "x.meta.npz", **metadata(base_bytes=wrong))
    with pytest.raises(DataError, match=r"metadata of 2 ids are not the bytes .* first id 4: 3 for b'\\xc3'"):
        build(vocabulary)
    np.savez(tmp_path / "x.meta.npz", **metadata(is_boundary_token=np.zeros(10, bool)))
    with pytest.raises(DataError, match=r"0 boundary tokens, one is needed .*the withdrawn vocabulary has none"):
        build(vocabulary)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes([2]) + bytes(30), "capcode 2, charset 0; only a vocabulary with capcode 0 and charset none"),
        (bytes([0, 1]) + bytes(30), "capcode 0, charset 1"),
        (b"short", "not a TokenMonster vocabulary"),
    ],
)
def test_vocabularies_whose_tokens_have_no_fixed_bytes_are_refused(package, vocabulary, content, said):
    vocabulary.write_bytes(content)
    with pytest.raises(DataError, match=said):
        build(vocabulary)


def test_missing_files_and_sizes_that_do_not_fit_are_errors(package, vocabulary, tmp_path):
    with pytest.raises(DataError, match=r"name its vocabulary with tokenizer\.vocabulary_file=PATH"):
        build(None)
    with pytest.raises(DataError, match=r"nowhere\.meta\.npz: no metadata"):
        build(tmp_path / "nowhere.vocab")
    with pytest.raises(DataError, match=r"nowhere\.vocab cannot be read"):
        build(tmp_path / "nowhere.vocab", metadata_file=str(tmp_path / "x.meta.npz"))
    with pytest.raises(DataError, match="describes 10 ids, the vocabulary has 8"):
        build(vocabulary, vocab_size=8)
    with pytest.raises(DataError, match=r"damaged|no tokenizer"):
        from_blob(build(vocabulary).to_blob()[:70])


def test_the_package_itself_reads_a_yaml_vocabulary(tmp_path):
    if find_spec(PACKAGE) is None:
        pytest.skip("the extra `tokenmonster` is not installed")
    yaml = io.StringIO("charset: none\ncapcode: 0\nnormalization: none\ntokens:\n")
    yaml.seek(0, io.SEEK_END)
    for piece in (b"a", b"b", b" "):
        yaml.write(f"  - token: {piece.decode()!r}\n")
    (tmp_path / "x.yaml").write_text(yaml.getvalue())
    table = metadata(base_bytes=np.array([1, 1, 1] + [0] * 7, np.int16))
    np.savez(tmp_path / "x.meta.npz", **table)
    try:
        tokenizer = build(tmp_path / "x.yaml")
    except DataError as error:
        if "runs an executable" not in str(error):
            raise
        pytest.skip("the executable that tokenmonster runs is not here")
    assert tokenizer.decode(tokenizer.encode("ab a")) == "ab a"
