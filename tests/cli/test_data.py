"""``pgolf data``: readable output, exit status 0 or 2, and nothing heavy imported for help."""

import argparse
import subprocess
import sys

import pytest

from pgolf.cli.data import Progress, add_parser


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
    assert "sotu" in capsys.readouterr().err
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


def test_progress_is_silent_for_two_seconds_and_then_says_how_far(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress()
    for second in (0.0, 1.9, 2.0, 2.1, 4.0):
        now[0] = second
        progress("encoding", int(second * 10), 100)
    assert capsys.readouterr().err.splitlines() == [
        "encoding: 20 of 100 (20 %)",
        "encoding: 40 of 100 (40 %)",
    ]


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
