"""Every cheat on the shelf is rejected by the probe it offends, by name; the honest evaluation is not."""

import argparse

import pytest

from pgolf.cli.cheats import add_parser
from pgolf.core.errors import ConfigError
from pgolf.proof import cheats
from pgolf.proof.cheats import by_name, names, shelf
from pgolf.proof.shelf import own_documents, run_shelf
from tests.proof.making import DOCUMENTS, write_artifact

PROBES = {
    "a": "normalisation",
    "b": "prefix perturbation",
    "c": "score before update",
    "d": "single pass",
    "e": "coverage and bytes",
    "f": "artifact only",
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("cheats") / "a.pgolf")


@pytest.fixture(scope="module")
def honest(artifact):
    return run_shelf(artifact, DOCUMENTS, [None], probe_seconds=2)[0]


def test_honest_evaluation_passes_every_probe(honest):
    assert honest.certificate.passed, honest.certificate.failed


@pytest.mark.parametrize("name", names())
def test_cheat_is_caught_by_the_probe_it_offends(artifact, honest, name):
    (finding,) = run_shelf(artifact, DOCUMENTS, [by_name(name)], probe_seconds=2)
    failed = {probe.letter: probe for probe in finding.certificate.probes if not probe.passed}
    assert by_name(name).letter in failed, finding.certificate
    assert failed[by_name(name).letter].name == PROBES[by_name(name).letter]
    assert finding.claimed_bpb <= honest.claimed_bpb + 1e-9  # or it would not be worth cheating


def test_the_shelf_has_a_cheat_for_every_probe_in_their_order():
    letters = [cheat.letter for cheat in shelf()]
    assert letters == sorted(letters) and set(letters) == set(PROBES)


def test_a_file_put_on_the_shelf_is_on_it(monkeypatch, tmp_path):
    (tmp_path / "dropped_in.py").write_text("LETTER = 'a'\ndef apply(evaluation):\n    return evaluation\n")
    monkeypatch.setattr(cheats, "__path__", [*cheats.__path__, str(tmp_path)])
    assert "dropped_in" in names() and "dropped_in" in [cheat.name for cheat in shelf()]
    assert by_name("dropped_in").letter == "a"


@pytest.mark.parametrize("name", ["wrapped", "../shelf", "os.path", "", "Double_Scorer"])
def test_what_is_no_cheat_is_refused(name):
    with pytest.raises(ConfigError, match="no '"):
        by_name(name)


def test_unknown_cheat_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'double_scorer'"):
        by_name("double_score")


def test_command_prints_a_row_for_each(artifact, capsys, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(DOCUMENTS), encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(
        ["cheats", str(artifact), "--text", str(text), "--only", "tail_dropper", "--seconds", "2"]
    )
    assert options.run(options) == 0
    printed = capsys.readouterr().out
    assert "none (honest)" in printed
    assert "tail_dropper" in printed
    assert "1 of 1 cheats caught" in printed


def test_command_on_a_file_that_is_no_artifact_says_so(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["cheats", str(tmp_path / "missing.pgolf")])
    assert options.run(options) == 2
    shown = capsys.readouterr()
    assert "missing.pgolf" in shown.err and not shown.out, "no head of a table that does not come"


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "soon"])
def test_probes_need_a_time_that_ends(seconds, capsys):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["cheats", "x.pgolf", "--seconds", seconds])
    assert stop.value.code == 2 and f"'{seconds}' is not a number above 0" in capsys.readouterr().err


def test_the_packages_own_source_is_text_enough():
    assert sum(map(len, own_documents())) > 100_000
