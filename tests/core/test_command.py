"""Paths from home, counts, and words that are no text."""

import pytest

from pgolf.cli.main import main
from pgolf.core.command import at_least, encoding_problems, home


def test_a_path_may_start_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(home("~/x")) == "/somewhere/x" and str(home("a/~")) == "a/~"
    assert str(home("~nobody-here/x")) == "~nobody-here/x"


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
