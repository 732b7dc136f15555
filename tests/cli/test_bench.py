"""``pgolf bench``: all in one table, its JSON, what it is compared with, and what does not go together."""

import json

import pytest

from pgolf.bench.figures import from_plain
from pgolf.cli.main import main

CHEAP = ["--tiny", "--threads", "1", "--rounds", "2", "--only", "gptq", "artifact"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "old.json"
    assert main(["bench", *CHEAP, "--json", str(path)]) == 0
    return path


def test_the_table_is_written_and_compared_with(written, capsys):
    sheet = from_plain(json.loads(written.read_text()), "x")
    assert set(sheet.benches) == {"artifact", "gptq"} and sheet.rounds == 2 and sheet.threads == (1,)
    assert len(sheet.benches["gptq"].figures[0].values) == 2
    assert main(["bench", *CHEAP, "--compare", str(written)]) == 0
    shown = capsys.readouterr().out
    assert "artifact: not measured: no artifact" in shown and "artifact: not compared: no artifact" in shown
    assert f"since {written}: new ÷ old" in shown and "of 1 figures moved beyond noise" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"machine": {"processor": "another"}}, "processor: 'another' there"),
        ({"threads": [1, 2]}, "threads: 1, 2 there, 1 here"),
        ({"pgolf_bench": 9}, "written in format 9"),
    ],
)
def test_another_machines_table_is_refused_before_anything_is_measured(written, tmp_path, change, message, capsys):
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(written.read_text()) | change))
    assert main(["bench", *CHEAP, "--compare", str(other)]) == 2
    told = capsys.readouterr()
    assert message in told.err and "gptq …" not in told.err and not told.out


def test_another_size_is_refused_by_name(written, tmp_path, capsys):
    plain = json.loads(written.read_text())
    plain["benches"]["gptq"]["size"]["layers"] = 7
    (tmp_path / "other.json").write_text(json.dumps(plain))
    assert main(["bench", *CHEAP, "--compare", str(tmp_path / "other.json")]) == 2
    assert "gptq: layers: 7 there, 2 here" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "", "{", "[1]", '{"pgolf_bench": 1}', b"\xff"])
def test_a_file_that_is_no_table_is_refused(tmp_path, text, capsys):
    path = tmp_path / "old.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["bench", *CHEAP, "--compare", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "{here}"], "--json: {here}: is no file that could be written"),
        (["--json", "{here}/no/a.json"], "is no file that could be written"),
        (["--against", "{here}"], "no checkout of pgolf"),
        (["--against", "{here}/no"], "no checkout of pgolf"),
        (["--against", "{root}"], "this checkout itself"),
        (["--against", "{root}", "--compare", "a.json"], "without --compare and --artifact"),
        (["--their-words", "size=tiny"], "--their-words: without --against"),
        (["--artifact", "{here}/no.pgolf"], "--artifact: {here}/no.pgolf: there is nothing here"),
        (["--words", "size=tyny"], "Did you mean 'tiny'?"),
        (["--tiny", "train"], "--tiny: of the table of all, or with --only; options of train stand after it"),
        (["--rounds", "3", "--json", "a.json", "runs", "--runs", "3"], "--json, --rounds: of the table of all"),
    ],
)
def test_what_does_not_go_together_is_refused(words, message, tmp_path, capsys):
    from pgolf.bench.against import root

    places = {"here": str(tmp_path), "root": str(root())}
    assert main(["bench", *(word.format(**places) for word in words)]) == 2
    told = capsys.readouterr()
    assert message.format(**places) in told.err and "…" not in told.err


def test_an_unknown_name_is_refused(capsys):
    for words in (["--only", "trian"], ["trian"], ["--rounds", "0"]):
        with pytest.raises(SystemExit) as stopped:
            main(["bench", *words])
        assert stopped.value.code == 2
    assert "invalid choice: 'trian'" in capsys.readouterr().err


def test_an_artifact_that_is_none_is_a_reason(tmp_path, capsys):
    words = ["--tiny", "--threads", "1", "--rounds", "1", "--only", "artifact", "--artifact"]
    assert main(["bench", *words, str(tmp_path)]) == 0
    assert "there is no such file" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "artifact.pgolf").write_bytes(b"nothing")
    assert main(["bench", *words, str(tmp_path)]) == 0
    assert "artifact: not measured: " in capsys.readouterr().out
