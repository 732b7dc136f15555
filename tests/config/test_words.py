"""A word that Hydra cannot read is answered with the character at which it breaks and the word as the shell takes
it."""

import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgolf.config.compose import compose, settings
from pgolf.config.options import conf_dir
from pgolf.config.words import home, parse, place, quoted, shell_word, unquoted
from pgolf.core.errors import ConfigError

AS_TEXT = ". As a text: "


def problem(word):
    with pytest.raises(ConfigError) as caught:
        parse([word])
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize(
    ("word", "breaks", "mend"),
    [
        ("notes=a=b", "'=' at character 8", "'notes=\"a=b\"'"),
        ("notes=it's", '"\'" at character 9', '"notes=\\"it\'s\\""'),
        ("run_root=a[1]", "'[' at character 11", "'run_root=\"a[1]\"'"),
        ("run_root=~/runs", "'~' at character 10", "'run_root=\"~/runs\"'"),
        ("notes=mehr über b", "'ü' at character 12", "'notes=\"mehr über b\"'"),
        ("notes=#1204", "'#' at character 7", "'notes=\"#1204\"'"),
        ("notes=[x", "breaks off at its end, after 'x'", "'notes=\"[x\"'"),
        ("quant.bits=5,", "breaks off at its end, after ','", "'quant.bits=\"5,\"'"),
        ("run_root=a(b)", "reads as a function: Unknown function 'a'", "'run_root=\"a(b)\"'"),
        ("notes=${x", "'{' at character 8", "'notes=\"\\${x\"'"),
        ("data.paths=[a[1].txt,b c.txt]", "'[' at character 14", '\'data.paths=["a[1].txt","b c.txt"]\''),
    ],
)
def test_a_value_that_must_be_quoted_is_given_so(word, breaks, mend):
    found = problem(word)
    assert found.startswith(f"{word}: {breaks}") and found.endswith(AS_TEXT + mend)
    (read,) = parse(shlex.split(mend))
    assert read.key_or_group == word.partition("=")[0]


@pytest.mark.parametrize("word", ["notes", "", "-a", "pr1204", "=1", "+=1"])
def test_what_is_no_assignment_is_told_the_forms_there_are(word):
    assert problem(word).endswith("a word is key=value, group=option or ~key")


def test_a_key_is_not_quoted_but_its_wrong_character_named():
    assert problem("no tes=a") == (
        "no tes=a: ' ' at character 3 cannot stand in a key; a word is key=value, group=option or ~key"
    )


def test_every_wrong_word_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        parse(["notes=a=b", "seed=1", "hypothesis=#"])
    assert len(caught.value.problems) == 2


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
def test_any_text_survives_quoting_and_the_shell(text):
    word = f"notes={quoted(text)}"
    assert shlex.split(shell_word(word)) == [word]
    (override,) = parse([word])
    assert override.value() == unquoted(quoted(text))


@pytest.mark.parametrize("text", ["a=b", "a${b", "${seed}", "x\\", "\\${x}", 'it\'s "q"', "a, b", "#;&~é", "null", "1"])
def test_a_quoted_text_arrives_in_the_config_as_it_is(text):
    assert settings(compose([f"notes={quoted(text)}"]))["notes"] == text


def test_bytes_that_are_not_utf_8_are_answered():
    assert problem("notes=x\udcff") == (
        "notes=x\\xff: not UTF-8 at character 8; pgolf takes names and texts in UTF-8 only"
    )


@pytest.mark.parametrize("script", [["train.py"], ["eval.py"], ["-m", "pgolf", "bundle"]])
def test_every_command_refuses_words_that_are_not_utf_8(script):
    done = subprocess.run([sys.executable, *script, b"a\xff=b"], cwd=conf_dir().parent, capture_output=True)
    assert done.returncode == 2
    assert b"pgolf: a\\xff=b: not UTF-8 at character 2" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_functions_and_mappings_are_read_without_asserts_too(flag):
    code = (
        "from pgolf.config.words import parse\n"
        "a, b = parse(['seed=range(1,3)', 'quant.scale.component_k={mlp:12}'])\n"
        "print(list(a.sweep_iterator()), b.value())"
    )
    done = subprocess.run(
        [sys.executable, flag, "-c", code], cwd=conf_dir().parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[1, 2] {'mlp': 12}"


def test_a_path_word_may_start_at_home_and_be_quoted(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(place("~/a=b[1]")) == "/somewhere/a=b[1]"
    assert str(place('"~/a=b"')) == "/somewhere/a=b"
    assert str(home("a/~b")) == "a/~b" and str(home("~nobody-here/x")) == "~nobody-here/x"
    cfg = settings(compose(["run_root='~/runs'", "cache_dir='~/cache'"]))
    assert (cfg["run_root"], cfg["cache_dir"]) == ("/somewhere/runs", "/somewhere/cache")
