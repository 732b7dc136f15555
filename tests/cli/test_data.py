"""``pgolf data``: readable output, exit status 0 or 2, and nothing heavy imported for help."""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

from pgolf.cli import data
from pgolf.cli.data import add_parser
from pgolf.data.shards import shard_name, sidecar_name, write_shard


def run(*words):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["data", *map(str, words)])
    return args.run(args)


@pytest.fixture
def prepared(tmp_path, capsys):
    assert (
        run(
            "prepare",
            "tiny",
            "--tokenizer",
            "bytes",
            "--cache-dir",
            tmp_path,
            "--set",
            "data.document_count=20",
        )
        == 0
    )
    (directory,) = (tmp_path / "datasets").iterdir()
    capsys.readouterr()
    return directory


def test_inspect_prints_tokens_bytes_documents_and_checksums(prepared, capsys):
    assert run("inspect", prepared) == 0
    out = capsys.readouterr().out
    assert "tokenizer byte260, 260 ids, BOS 1, bytes by raw" in out
    assert "every size, checksum and id verified" in out
    documents, tokens, counted, raw = next(
        line.split()[1:5] for line in out.splitlines() if line.startswith("val") and "sha256" not in line
    )
    assert documents == "2" and counted == raw
    assert int(tokens.replace(",", "")) == int(raw.replace(",", "")) + 2


def test_inspect_of_a_changed_shard_exits_with_2(prepared, capsys):
    path = next(prepared.glob("fineweb_val_*.bin"))
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1
    path.write_bytes(raw)
    assert run("inspect", prepared) == 2
    assert "checksum differs" in capsys.readouterr().err


def test_text_from_paths(tmp_path, capsys):
    for index in range(12):
        (tmp_path / f"it's {index:02d}, a.txt").write_text(f"document {index}\n" * 5)
    words = ["prepare", "text", "--tokenizer", "bytes", "--cache-dir", tmp_path / "cache", "--paths"]
    assert run(*words, f"{tmp_path}/*.txt") == 0
    assert "text  " in capsys.readouterr().out
    assert run(*words, f"{tmp_path}/*.none") == 2
    assert "no file matches" in capsys.readouterr().err


def test_unknown_source_and_nothing_to_fetch_exit_with_2(tmp_path, capsys):
    assert run("prepare", "sotuu", "--cache-dir", tmp_path) == 2
    assert "data: no 'sotuu' in conf/data. Did you mean 'sotu'?" in capsys.readouterr().err
    assert run("fetch", "tiny", "--cache-dir", tmp_path) == 2
    assert "nothing to fetch" in capsys.readouterr().err


def test_help_imports_neither_torch_nor_hydra_nor_numpy():
    code = (
        "import argparse, sys; from pgolf.cli.data import add_parser; "
        "add_parser(argparse.ArgumentParser().add_subparsers()); "
        "print([name for name in ('torch', 'hydra', 'numpy', 'sentencepiece') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_progress_goes_to_standard_error_and_the_result_alone_to_standard_output(capsys):
    with pytest.raises(KeyboardInterrupt), data._progress("prepare") as progress:
        progress("encoding", 21, 100)
        raise KeyboardInterrupt
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("encoding       stopped after 0.0 s at 21")


FOREIGN = [f"{name}.csv" for name in "abcdefg"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.write_bytes(b"x"), "is a file, not a folder"),
        (lambda path: path.mkdir(), "an empty folder; neither a prepared data set nor published shards"),
        (
            lambda path: [path.mkdir(), *((path / name).touch() for name in FOREIGN)],
            r"no published shards \(.*\) here, only a.csv, b.csv, c.csv, d.csv, e.csv and 2 more",
        ),
        (lambda path: [path.mkdir(), (path / "manifest.json").write_text('{"name": "an app"}')], "not a manifest"),
        (lambda path: [path.mkdir(), (path / "manifest.json").write_bytes(b"\xff")], "not UTF-8"),
        (lambda path: (path / "manifest.json").mkdir(parents=True), "here, only manifest.json/"),
        (lambda path: [path.mkdir(), (path / "fineweb_val_000000.bin").touch()], "short header"),
    ],
)  # fmt: skip
def test_inspect_of_anything_else_says_what_is_there_and_deletes_nothing(tmp_path, capsys, make, said):
    make(tmp_path / "place")
    assert run("inspect", tmp_path / "place") == 2
    out, err = capsys.readouterr()
    assert re.search(said, err) and err.startswith("pgolf data: ") and str(tmp_path / "place") in err
    assert "rm -r" not in err and "Traceback" not in err and out == ""


@pytest.mark.parametrize("name", ["a" * 5000, "\0"])
def test_inspect_of_an_impossible_name_is_an_error(name, capsys):
    assert run("inspect", name) == 2
    assert "no such folder" in capsys.readouterr().err


def test_inspect_of_the_cache_names_the_data_set_in_it(prepared, capsys):
    assert run("inspect", prepared.parent) == 2
    assert f"Did you mean {prepared}?" in capsys.readouterr().err


def test_inspect_of_published_shards_without_a_manifest(tmp_path, capsys):
    write_shard(tmp_path / shard_name("train", 0), [1, 5, 6, 1, 7])
    write_shard(tmp_path / shard_name("train", 1), [8, 1, 9])
    write_shard(tmp_path / shard_name("val", 0), [1, 5, 1023])
    write_shard(tmp_path / sidecar_name("val", 0), [0, 2, 3])
    assert run("inspect", tmp_path) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "3", "8", "9"] in lines and ["val", "1", "3", "1,023"] in lines
    digest = hashlib.sha256((tmp_path / shard_name("train", 1)).read_bytes()).hexdigest()
    assert ["train", shard_name("train", 1), "[0,", "3)", "sha256", digest] in lines
    assert any(line[:2] == ["bytes", sidecar_name("val", 0)] for line in lines)
    (tmp_path / shard_name("train", 0)).unlink()
    assert run("inspect", tmp_path) == 2
    assert "fineweb_train_000000.bin is missing" in capsys.readouterr().err


def test_names_that_are_not_text_are_read_and_printed(tmp_path, capsys):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index in range(12):
        (folder / os.fsdecode(b"\xff%02d.txt" % index)).write_text(f"document {index}\n" * 5)
    words = ["prepare", "text", "--tokenizer", "bytes", "--cache-dir", folder / "cache", "--paths"]
    assert run(*words, f"{folder}/*.txt") == 0 and "corpus/cache" in capsys.readouterr().out
    (folder / os.fsdecode(b"\xff03.txt")).write_bytes(b"")
    command = [sys.executable, "-m", "pgolf", "data", *map(str, words), f"{folder}/*.txt"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 2 and rb"\udcff03.txt: empty document" in done.stderr


def test_wrong_settings_are_all_named_and_exit_with_2(tmp_path, capsys):
    words = ["prepare", "tiny", "--tokenizer", "bpe1024", "--cache-dir", tmp_path, "--set"]
    assert run(*words, "data.document_count=abc", "data.document_bytes=1", "tokenizer.vocab_size=x") == 2
    err = capsys.readouterr().err
    assert "data.document_count: 'abc' is not a whole number" in err
    assert "data.document_bytes: 1 is out of range" in err
    assert "tokenizer.vocab_size: 'x' is not a whole number" in err


def test_single_numbers_of_the_size_count_too(tmp_path):
    words = ["prepare", "tiny", "--tokenizer", "bytes", "--cache-dir", tmp_path]
    assert run(*words, "--set", "data.document_count=10", "size.shard_tokens=4000") == 0
    (directory,) = (tmp_path / "datasets").iterdir()
    assert len(list(directory.glob("fineweb_train_*.bin"))) > 1


def test_inspect_of_a_folder_that_cannot_be_read_is_an_error(tmp_path, capsys, monkeypatch):
    def locked(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", locked)
    assert run("inspect", tmp_path) == 2
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a\\b", "it's", "${seed}", "a, b", "x\\"])
def test_paths_are_taken_as_they_are_spelt(tmp_path, capsys, name):
    folder = tmp_path / name
    folder.mkdir()
    for index in range(10):
        (folder / f"{index:02}.txt").write_text(f"document {index} of a small corpus\n" * 6)
    words = ["prepare", "text", "--tokenizer", "bytes", "--paths", folder / "*.txt", "--cache-dir", tmp_path / "cache"]
    assert run(*words) == 0, capsys.readouterr().err


def audit(tmp_path, *words):
    settings = ("--set", "data.document_count=20", "data.document_bytes=300")
    return run("audit", "tiny", "--tokenizer", "bytes", "--cache-dir", tmp_path, *words, *settings)


def test_audit_counts_every_document_in_every_way(tmp_path, capsys):
    assert audit(tmp_path, "--splits", "val", "train", "--json", tmp_path / "lines.jsonl") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith(("val ", "train "))]
    assert [row[:2] for row in rows] == [["val", "2"], ["train", "16"]]
    for row in rows:
        counted, sidecar, decoded, raw, faults = row[2:]
        assert counted == decoded == raw and sidecar == "-" and faults == "0"
    assert out.endswith("every count agrees\n")
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert len(lines) == 18 and all(line["counted"] == line["raw"] for line in lines)


def test_audit_names_what_disagrees_and_exits_with_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "pgolf.tokenizer.bytes.ByteTokenizer.byte_lengths", lambda self, tokens_N: (tokens_N[1:] > 3) * 3
    )
    assert audit(tmp_path, "--splits", "val") == 1
    out = capsys.readouterr().out
    assert out.endswith("2 disagreements\n")
    assert re.search(r"^val tiny-0009: [\d,]+ bytes are counted, its ids decode to \d+ \(\+\d+\)$", out, re.M)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--documents", "x.jsonl"), "data=tiny has its own text"),
        (("--json", "/nowhere/x.jsonl"), "--json: /nowhere/x.jsonl cannot be written"),
    ],
)
def test_an_audit_that_cannot_be_made_is_an_error(tmp_path, capsys, words, said):
    assert audit(tmp_path, *words) == 2
    assert said in capsys.readouterr().err


def test_fewer_than_one_worker_is_refused(capsys):
    with pytest.raises(SystemExit):
        run("prepare", "tiny", "--workers", "0")
    assert "--workers: 0 is out of range: at least 1" in capsys.readouterr().err


def test_export_writes_the_documents_of_a_split_back_to_back(tmp_path, capsys):
    texts = [f"document {index}\n" * 5 for index in range(21)]
    for index, text in enumerate(texts):
        (tmp_path / f"{index:02d}.txt").write_text(text)
    words = ["export", "text", "--cache-dir", tmp_path / "cache", "--paths", f"{tmp_path}/*.txt"]
    for split, chosen in (("val", (9, 19)), ("dev", (4, 14)), ("train", (0, 1, 2, 3, 5, 6, 7, 8))):
        out = tmp_path / f"{split}.out"
        here = [words[0], words[1], out, *words[2:]]
        assert run(*here, *([] if split == "val" else ["--split", split])) == 0
        assert out.read_text().startswith("".join(texts[index] for index in chosen))
        assert hashlib.sha256(out.read_bytes()).hexdigest() in capsys.readouterr().out
    assert (tmp_path / "val.out").read_text() == texts[9] + texts[19]


def test_export_and_rivals_refuse_what_has_no_text_or_no_place(tmp_path, capsys):
    assert run("export", "fineweb", tmp_path / "out", "--cache-dir", tmp_path) == 2
    assert "published shards come without text" in capsys.readouterr().err
    assert run("export", "tiny", tmp_path, "--cache-dir", tmp_path) == 2
    assert "is no file that could be written" in capsys.readouterr().err
    (tmp_path / "one.txt").write_text("only one document")
    assert run("rivals", "text", "--cache-dir", tmp_path, "--paths", f"{tmp_path}/one.txt") == 2
    assert "val has no document" in capsys.readouterr().err


def test_rivals_prints_bytes_alone_and_primed(tmp_path, capsys):
    assert run("rivals", "tiny", "--cache-dir", tmp_path, "--set", "data.document_count=20") == 0
    out = capsys.readouterr().out
    alone, alone_bits, primed, primed_bits = re.search(r"^xz 9e +(\S+) +(\S+) +(\S+) +(\S+)$", out, re.M).groups()
    size = int(re.search(r"documents, ([\d,]+) bytes;", out)[1].replace(",", ""))
    for count, bits in ((alone, alone_bits), (primed, primed_bits)):
        assert float(bits) == pytest.approx(8 * int(count.replace(",", "")) / size, abs=1e-4)
