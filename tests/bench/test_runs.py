"""The bench of the history asks every question of folders that it made."""

from pgolf.bench.runs import make_runs
from pgolf.cli.main import main
from pgolf.report.gather import gather


def test_what_it_makes_are_runs_that_count(tmp_path):
    make_runs(tmp_path, 4)
    found = gather([tmp_path])
    assert not found.problems and [entry.excluded for entry in found.entries] == [""] * 4
    assert len(found.configs) == 2


def test_every_question_is_answered_of_all(capsys):
    assert main(["bench", "runs", "--runs", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-3] for line in lines[2:]] == ["4", "4", "4", "4"], lines
