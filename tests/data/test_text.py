"""Your own files: formats, the mod-10 rule, cutting at blank lines, and clear errors for bad input."""

import gzip
import json
import lzma
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.data.dataset import load
from pgolf.data.documents import cut_at_blank_lines, match_files, split_of
from pgolf.data.fineweb_docs import FineWebDocs
from pgolf.data.prepare import silent
from pgolf.data.text import Text
from pgolf.tokenizer.bytes import Bytes


def source(*paths, document_bytes=65536):
    return Text(paths=[str(path) for path in paths], document_bytes=document_bytes)


def ten_files(folder, changed=None):
    for index in range(10):
        (folder / f"{index}.txt").write_bytes(f"document {index}\r\n\n".encode())
    for name, content in (changed or {}).items():
        (folder / name).write_bytes(content)
    return source(folder / "*.txt")


def prepare(text, folder):
    return text.prepare(Bytes(), folder / "cache", 1000, silent)


def test_documents_are_dealt_by_index_mod_ten():
    assert [split_of(index) for index in range(10)].count("train") == 8
    assert (split_of(9), split_of(4), split_of(19), split_of(20)) == ("val", "dev", "val", "train")


def test_all_formats_are_read_in_name_order_and_line_ends_survive(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("zwölf".encode()))
    (tmp_path / "c.txt.xz").write_bytes(lzma.compress(b"three"))
    lines = [json.dumps({"text": f"line {index}"}) for index in range(8)]
    (tmp_path / "d.jsonl").write_text("\n".join(lines) + "\n\n")
    text = source(tmp_path / "*")
    found = {split: [body for _, body in text.documents(split)] for split in ("train", "dev", "val")}
    assert found["train"] == [
        "one\r\ntwo",
        "zwölf",
        "three",
        "line 0",
        "line 2",
        "line 3",
        "line 4",
        "line 5",
        "line 7",
    ]
    assert found["dev"] == ["line 1"] and found["val"] == ["line 6"]


def test_prepared_bytes_equal_file_bytes(tmp_path):
    dataset = prepare(ten_files(tmp_path), tmp_path)
    total = sum(path.stat().st_size for path in tmp_path.glob("*.txt"))
    assert sum(facts.raw_bytes for facts in dataset.facts.values()) == total
    assert dataset.tokenizer.decode(dataset.stream("val")) == "document 9\r\n\n"


@given(
    text=st.text(alphabet=st.sampled_from("ab \n\r\té")),
    size=st.integers(1, 20),
)
def test_cutting_loses_nothing(text, size):
    pieces = cut_at_blank_lines(text, size)
    assert "".join(pieces) == text and all(len(piece.encode()) >= size for piece in pieces[:-1])


def test_large_file_is_cut_at_blank_lines(tmp_path):
    (tmp_path / "big.txt").write_text("\n\n".join(f"paragraph {index} " * 5 for index in range(40)))
    text = source(tmp_path / "big.txt", document_bytes=100)
    assert all(body.startswith("paragraph") and body.endswith("\n\n") for _, body in text.documents("dev"))
    dataset = prepare(text, tmp_path)
    assert dataset.facts["val"].documents >= 1


def test_no_match_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no file matches .*none\*"):
        prepare(source(tmp_path / "none*"), tmp_path)
    with pytest.raises(DataError, match="names no files"):
        prepare(source(), tmp_path)


def test_one_glob_without_its_list_is_an_error():
    with pytest.raises(DataError, match=r"data.paths=\[corpus/\*.txt\]"):
        Text(paths="corpus/*.txt", document_bytes=1)


def test_unknown_suffix_is_an_error(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a.pdf: not one of .txt"):
        prepare(source(tmp_path / "*"), tmp_path)


@pytest.mark.parametrize("content", [b"", b" \n\t"])
def test_empty_document_is_an_error_that_names_it(tmp_path, content):
    with pytest.raises(DataError, match=r"3.txt: empty document"):
        prepare(ten_files(tmp_path, {"3.txt": content}), tmp_path)


def test_text_that_is_not_utf8_is_an_error_with_its_place(tmp_path):
    with pytest.raises(DataError, match=r"3.txt: not UTF-8 \(byte 0xff at 2\)"):
        prepare(ten_files(tmp_path, {"3.txt": b"ab\xff"}), tmp_path)


@pytest.mark.parametrize("name", ["x.txt.gz", "x.txt.xz"])
@pytest.mark.parametrize("content", [b"not compressed", b""])
def test_damaged_archive_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read|empty document"):
        prepare(source(tmp_path / name), tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"body": "x"}', r"x.jsonl:2: no field 'text' with a text in it \(found: body\)"),
        ('{"text": 5}', "no field 'text'"),
        ("[1]", "no field 'text'"),
        ("{", "x.jsonl:2: not JSON"),
        ('{"text": "\\ud800"}', "lone surrogate"),
        ('{"text": ""}', "empty document"),
    ],
)
def test_bad_lines_are_errors_that_name_the_line(tmp_path, line, message):
    rest = "\n".join(json.dumps({"text": f"line {index}"}) for index in range(20))
    (tmp_path / "x.jsonl").write_text('{"text": "fine"}\n' + line + "\n" + rest)
    with pytest.raises(DataError, match=message):
        prepare(source(tmp_path / "x.jsonl"), tmp_path)


def test_too_few_documents_for_three_splits_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("only one")
    with pytest.raises(DataError, match="1 documents are too few, nothing is left for dev and val"):
        prepare(source(tmp_path / "a.txt"), tmp_path)


def test_validation_document_inside_training_is_an_error_that_names_both(tmp_path):
    text = ten_files(tmp_path, {"9.txt": b"document 2\r\n"})  # equal up to outer white space
    with pytest.raises(DataError, match=r"val .*9.txt' is train .*2.txt'"):
        prepare(text, tmp_path)
    assert not (tmp_path / "cache").exists()


def test_dev_document_inside_validation_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"val .*9.txt' is dev .*4.txt'"):
        prepare(ten_files(tmp_path, {"9.txt": b"document 4"}), tmp_path)


def test_an_existing_files_name_is_no_pattern_whatever_brackets_are_in_it(tmp_path):
    for name in ("a[1].txt", "a1.txt"):
        (tmp_path / name).write_text("x")
    assert match_files([str(tmp_path / "a[1].txt")]) == [tmp_path / "a[1].txt"]
    assert match_files([str(tmp_path / "a[12].txt")]) == [tmp_path / "a1.txt"]


BOM = b"\xef\xbb\xbf"


def texts(found):
    return [body for split in ("train", "dev", "val") for _, body in found.documents(split)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_is_encoding_in_jsonl_and_content_in_txt(tmp_path, end):
    one, two = b'{"text": "one", "unread": NaN}' + end, b'{"text": "\xef\xbb\xbftwo\\r\\n"}'
    (tmp_path / "a.jsonl").write_bytes(BOM + one + end + BOM + two + end)  # two files joined
    (tmp_path / "b.txt").write_bytes(BOM + b"three" + end)
    found = source(tmp_path / "*")
    assert texts(found) == ["one", "\ufefftwo\r\n", "\ufeffthree" + end.decode()]
    (tmp_path / "c.txt").write_bytes(BOM)
    assert texts(found)[-1] == "\ufeff"


def test_text_with_a_byte_order_mark_and_crlf_is_counted_and_decoded_to_the_byte(tmp_path):
    raw = BOM + b"first\r\nsecond\rthird\n"
    dataset = prepare(ten_files(tmp_path, {"9.txt": raw}), tmp_path)
    assert dataset.tokenizer.decode(dataset.stream("val")).encode() == raw
    assert dataset.facts["val"].raw_bytes == len(raw) == dataset.target_bytes("val").sum()


@pytest.mark.parametrize("content", [b"", b"\n \r\n", BOM])
def test_jsonl_without_a_document_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.jsonl: empty, no document in it"):
        texts(source(tmp_path / "*"))


@pytest.mark.parametrize("depth", [150, 2_000])
def test_deep_nesting_beside_the_text_is_an_error_that_names_the_line(tmp_path, depth):
    line = '{"text": "x", "unread": ' + "[" * depth + "]" * depth + "}"
    (tmp_path / "x.jsonl").write_text('{"text": "fine"}\n' + line)
    with pytest.raises(DataError, match=r"x\.jsonl:2: nested more than 100 levels deep"):
        texts(source(tmp_path / "x.jsonl"))


def test_what_exists_is_meant_as_it_is_spelt(tmp_path):
    for folder in ("a [old]", "a o", "deep/er"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a [old]/[1].txt", "a [old]/2.txt", "a o/1.txt", "deep/3.txt", "deep/er/4.txt", "what?.txt"):
        (tmp_path / name).write_text(name)
    assert texts(source(tmp_path / "a [old]" / "[1].txt")) == ["a [old]/[1].txt"]
    assert texts(source(tmp_path / "a [old]" / "*.txt")) == ["a [old]/2.txt", "a [old]/[1].txt"]
    assert texts(source(tmp_path / "a [old]" / "[12].txt")) == ["a [old]/2.txt"]  # no such file: a choice
    assert texts(source(tmp_path / "a [o]" / "1.txt")) == ["a o/1.txt"]
    assert texts(source(tmp_path / "what?.txt")) == ["what?.txt"]
    assert texts(source(tmp_path / "deep" / "**" / "*.txt")) == ["deep/3.txt", "deep/er/4.txt"]
    assert len(texts(source(tmp_path / "**" / "*.txt"))) == 6


def test_paths_are_relative_to_where_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("one")
    for pattern in ("one.txt", "./one.txt", "*.txt", "./*.txt", "**/*.txt"):
        assert list(Text(paths=[pattern], document_bytes=9).documents("train")) == [("one.txt", "one")]


@pytest.mark.parametrize("pattern", ["", "\0", "[", "*/\0", "a" * 5000])
def test_patterns_that_match_nothing_are_errors(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no file matches"):
        texts(Text(paths=[pattern], document_bytes=9))


def test_a_folder_where_a_file_is_wanted_says_what_to_write(tmp_path):
    (tmp_path / "corpus").mkdir()
    with pytest.raises(DataError, match=r"no file matches '.*corpus/'; it is a folder, write .*corpus/\*\.txt"):
        texts(source(f"{tmp_path}/corpus/"))
    with pytest.raises(DataError, match="cannot be read"):
        FineWebDocs(
            path=str(tmp_path),
            repo_id="a/b",
            revision="main",
            root="",
            validation_documents=1,
            dev_documents=1,
        ).prepare(Bytes(), tmp_path, 10, silent)


def test_names_that_are_not_text_are_files_like_any_other(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    dataset = prepare(ten_files(folder), folder)
    assert load(dataset.directory, full=True).facts["val"].documents == 1


def test_a_home_that_nobody_has_is_a_path_like_any_other():
    with pytest.raises(DataError, match="no file matches"):
        match_files(["~nobody-has-this-name/*.txt"])
