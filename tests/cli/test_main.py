"""The words of a command, wherever its options stand."""

from pathlib import Path

import pytest

from pgolf.cli.main import parsed


@pytest.mark.parametrize(
    "words",
    [
        ["eval=streaming", "mixer=none", "--tokens", "5"],
        ["--tokens", "5", "eval=streaming", "mixer=none"],
        ["eval=streaming", "--tokens", "5", "mixer=none"],
    ],
)
def test_words_may_stand_before_and_after_options(words):
    args = parsed(["sample", "a.pgolf", *words])
    assert (args.artifact, args.words, args.tokens) == (Path("a.pgolf"), ["eval=streaming", "mixer=none"], 5)


def test_paths_after_an_option_are_paths():
    assert parsed(["verify", "run", "--certify", "full", "~/a"]).texts == [Path("~/a").expanduser()]
    assert parsed(["bench", "eval", "--rows", "500", "ngram.max_order=5"]).words == ["ngram.max_order=5"]


@pytest.mark.parametrize(
    "words", [["sample", "a", "--token5", "5", "x=1"], ["decompress", "a", "b", "c", "d"], ["sample", "a", "-x"]]
)
def test_what_is_no_word_of_a_command_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        parsed(words)
    assert stopped.value.code == 2 and "unrecognized arguments" in capsys.readouterr().err
