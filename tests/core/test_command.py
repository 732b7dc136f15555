"""Paths from home, and words that are no text."""

from pgolf.cli.main import main
from pgolf.core.command import encoding_problems, home


def test_a_path_may_start_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(home("~/x")) == "/somewhere/x" and str(home("a/~")) == "a/~"
    assert str(home("~nobody-here/x")) == "~nobody-here/x"


def test_a_word_is_utf_8_or_the_character_is_named():
    assert list(encoding_problems("notes=é☃")) == []
    (problem,) = encoding_problems("é=\udcff")
    assert problem.startswith("é=\\xff: not UTF-8 at character 3")


def test_pgolf_refuses_such_words_before_any_command_sees_them(capsys):
    assert main(["bundle", "runs/\udcff", "out"]) == 2
    assert "pgolf: runs/\\xff: not UTF-8 at character 6" in capsys.readouterr().err
