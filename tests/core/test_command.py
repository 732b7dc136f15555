"""Paths from home, counts, words that are no text, and words kept in a file."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.cli.main import main
from pgolf.core.command import (
    OVERRIDES_NAME,
    at_least,
    encoding_problems,
    home,
    overrides_text,
    read_overrides,
    run_folder,
)


def test_a_path_may_start_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(home("~/x")) == "/somewhere/x" and str(home("a/~")) == "a/~"
    assert str(home("~nobody-here/x")) == "~nobody-here/x"


def test_the_folder_of_one_seed_stands_for_it_and_of_several_they_are_named(tmp_path, capsys):
    seed = tmp_path / "name/seed=7"
    assert run_folder(str(tmp_path / "name")) == tmp_path / "name", "what is not there is for the command to say"
    seed.mkdir(parents=True)
    assert run_folder(str(tmp_path / "name")) == run_folder(str(seed)) == seed
    (tmp_path / "name/seed=7.r2").mkdir()
    with pytest.raises(SystemExit):
        main(["learned", str(tmp_path / "name")])
    assert f"name holds seed=7, seed=7.r2; name one of them, such as {seed}" in capsys.readouterr().err


def test_a_count_is_a_whole_number_that_is_not_below_the_least(capsys):
    assert at_least(0)("0") == 0 and at_least(1)("12") == 12
    for wrong, why in (("0", "0 is out of range: at least 1"), ("x", "'x' is not a whole number")):
        with pytest.raises(SystemExit) as stop:
            main(["bench", "waiting", "--rounds", wrong])
        assert stop.value.code == 2 and f"argument --rounds: {why}" in capsys.readouterr().err


def test_a_word_is_utf_8_or_the_character_is_named():
    assert list(encoding_problems("notes=é☃")) == []
    (problem,) = encoding_problems("é=\udcff")
    assert problem.startswith("é=\\xff: not UTF-8 at character 3")


def test_pgolf_refuses_such_words_before_any_command_sees_them(capsys):
    assert main(["bundle", "runs/\udcff", "out"]) == 2
    assert "pgolf: runs/\\xff: not UTF-8 at character 6" in capsys.readouterr().err


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_runs_words_come_back_as_they_were(words):
    with TemporaryDirectory() as folder:
        (Path(folder) / OVERRIDES_NAME).write_bytes(overrides_text(words).encode())
        assert read_overrides(Path(folder)) == words


def test_a_word_is_kept_as_it_was_typed():
    assert overrides_text(["size=tiny", "notes='a b'"]) == "size=tiny\nnotes='a b'\n"
