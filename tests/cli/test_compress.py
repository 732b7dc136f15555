"""``pgolf compress``, ``decompress``, ``sample`` as a user types them: words, what they print, what they refuse."""

import os

import pytest

from pgolf.cli.main import main
from tests.proof.making import DOCUMENTS, write_artifact

TEXT = "".join(DOCUMENTS).encode() * 3


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("compress") / "a.pgolf")


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_bytes(TEXT)
    return tmp_path / "text"


def run(*words):
    return main([str(word) for word in words])


def test_a_file_comes_back_and_sizes_are_told(artifact, text, tmp_path, capsys):
    assert run("compress", artifact, text, tmp_path / "packed") == 0
    told = capsys.readouterr().out
    size = (tmp_path / "packed").stat().st_size
    assert f"{len(TEXT):,} bytes -> {size:,} bytes" in told and "bits per byte" in told
    assert run("decompress", artifact, tmp_path / "packed", tmp_path / "back") == 0
    assert (tmp_path / "back").read_bytes() == TEXT
    assert f"{size:,} bytes -> {len(TEXT):,} bytes" in capsys.readouterr().out


def test_what_is_no_text_is_kept_and_said_so(artifact, tmp_path, capsys):
    (tmp_path / "text").write_bytes(os.urandom(999))
    assert run("compress", artifact, tmp_path / "text", tmp_path / "packed") == 0
    assert "kept as it is: it is no text" in capsys.readouterr().out
    assert (tmp_path / "packed").stat().st_size <= 999 + 50


@pytest.mark.parametrize(
    ("data", "told"), [(b"", "kept as it is: it is empty"), (b"\0" * 5000, "kept by brotli: smaller")]
)
def test_why_no_model_was_used_is_said_as_it_is(artifact, tmp_path, capsys, data, told):
    (tmp_path / "text").write_bytes(data)
    assert run("compress", artifact, tmp_path / "text", tmp_path / "packed") == 0
    assert told in capsys.readouterr().out


def test_a_damaged_file_leaves_no_output(artifact, text, tmp_path, capsys):
    run("compress", artifact, text, tmp_path / "packed")
    whole = (tmp_path / "packed").read_bytes()
    for wrong in (whole[:-1], whole[:40], b"", whole[:50] + b"?" + whole[51:]):
        (tmp_path / "packed").write_bytes(wrong)
        assert run("decompress", artifact, tmp_path / "packed", tmp_path / "back") == 2
        assert "packed:" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "text"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("compress", "{a}", "{t}/none", "{t}/out"), "No such file"),
        (("compress", "{a}", "/dev/zero", "{t}/out"), "a device, not a file"),
        (("decompress", "{a}", "/dev/zero", "{t}/out"), "a device, not a file"),
        (("compress", "{a}", "{t}/text", "{t}"), "no file that could be written"),
        (("compress", "{a}", "{t}/text", "{t}/none/out"), "no file that could be written"),
        (("compress", "{a}", "{t}/text", "{t}/text"), "is what is read"),
        (("compress", "{a}", "{t}/text", "{a}"), "is what is read"),
        (("compress", "{t}/text", "{t}/text", "{t}/out"), "artifact"),
        (("compress", "{a}", "{t}/text", "{t}/out", "quant.bits=3"), "fixed by the artifact"),
        (("compress", "{a}", "{t}/text", "{t}/out", "eval.lanez=3"), "lanez"),
        (("decompress", "{a}", "{t}/text", "{t}/out"), "begins with other bytes"),
        (("sample", "{t}/none"), "none"),
    ],
)
def test_wrong_words_are_refused_in_a_line(artifact, text, tmp_path, capsys, words, told):
    filled = [word.format(a=artifact, t=tmp_path) for word in words]
    assert run(*filled) == 2
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error
    assert text.read_bytes() == TEXT and not (tmp_path / "out").exists()


def test_words_of_evaluation_travel_with_the_file(artifact, text, tmp_path):
    words = ("eval=sliding", "eval.lanes=4", "eval.window=64", "eval.stride=32")
    assert run("compress", artifact, text, tmp_path / "packed", *words) == 0
    assert run("decompress", artifact, tmp_path / "packed", tmp_path / "back") == 0
    assert (tmp_path / "back").read_bytes() == TEXT


def test_a_sample_begins_with_its_prompt_and_its_seed_repeats_it(artifact, capsys):
    words = ("sample", artifact, "--tokens", 30, "--prompt", "The people")
    assert run(*words, "--seed", 5) == 0
    one = capsys.readouterr().out
    assert one.startswith("The people")
    run(*words, "--seed", 5)
    assert capsys.readouterr().out == one
    run(*words, "--seed", 6)
    assert capsys.readouterr().out != one
    run(*words, "--temperature", 0)
    certain = capsys.readouterr().out
    run(*words, "--temperature", 0, "--seed", 9)
    assert capsys.readouterr().out == certain


@pytest.mark.parametrize(
    "words", [("--tokens", "0"), ("--temperature", "-1"), ("--temperature", "warm"), ("--seed", "x")]
)
def test_numbers_out_of_range_are_refused(artifact, words):
    with pytest.raises(SystemExit) as stopped:
        run("sample", artifact, *words)
    assert stopped.value.code == 2
