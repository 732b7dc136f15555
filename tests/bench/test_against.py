"""Two checkouts: rounds in turns, each checkout's code under the same benchmark, ends and lacks told by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.bench import against
from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting
from pgolf.cli.main import main
from pgolf.core.errors import UserError

TINY = Setting((1,), tiny=True)


def test_rounds_take_turns_and_each_begins_as_often():
    order = []

    def side(name, value):
        def round():
            order.append(name)
            return [Reading("a", value * len(order), "tokens/s"), Reading(f"{name} alone", 1, "ms")]

        return round

    found = against.turns("x", side("old", 1.0), side("new", 2.0), 4)
    assert order == ["new", "old", "old", "new", "new", "old", "old", "new", "new", "old"]
    (change,) = found.changes
    assert change.ratio.middle == pytest.approx((2 * 4 / 3 + 2 * 5 / 6 + 2 * 8 / 7 + 2 * 9 / 10) / 4, rel=0.2)
    assert found.notes == ("x: old alone: only there", "x: new alone: only here")


@pytest.fixture
def older(tmp_path):
    """A checkout with as little as there was at first: names, errors, settings, and no more."""
    for package in ("", "core", "bench", "config"):
        (tmp_path / "pgolf" / package).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pgolf" / package / "__init__.py").touch()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").touch()
    errors = Path(against.__file__).parents[1] / "core" / "errors.py"
    (tmp_path / "pgolf" / "core" / "errors.py").write_text(errors.read_text())
    (tmp_path / "pgolf" / "config" / "make.py").write_text("def make(node, **runtime): ...\n")
    (tmp_path / "pgolf" / "data.py").touch()
    return tmp_path


def asked(whose, bench, rounds=1):
    """The lines that a measuring process prints, and what it says."""
    told = json.dumps({"bench": bench, "threads": [1], "tiny": True, "words": []})
    words = [sys.executable, "-c", against._PROGRAM, str(whose), str(against.root()), told]
    done = subprocess.run(words, input="go\n" * rounds, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_code_is_the_checkouts_and_what_it_lacks_is_the_reason(older):
    """What the benchmark of data asks for is a package here; there it is a file without it."""
    (answer,) = asked(older, "data")
    assert answer["reason"].startswith("ModuleNotFoundError: No module named 'pgolf.config.compose'")


def test_a_benchmark_over_two_checkouts_is_told_as_ratios_of_pairs(older, tmp_path, capsys, monkeypatch):
    (older / "pgolf").rename(older / "given")
    (older / "pgolf").symlink_to(against.root() / "pgolf")
    (older / "conf" / "config.yaml").unlink()
    (older / "conf").rmdir()
    (older / "conf").symlink_to(against.root() / "conf")
    words = ["--tiny", "--threads", "1", "--rounds", "1", "--only", "data", "peaks", "--json", str(tmp_path / "a.json")]
    assert main(["bench", "--against", str(older), *words]) == 0
    shown = capsys.readouterr().out
    assert "data: preparing" in shown and "peaks: not measured" in shown and "in turns" in shown
    changes = json.loads((tmp_path / "a.json").read_text())["changes"]
    assert {change["basis"] for change in changes} == {"pairs"} and all(c["ratio"]["middle"] > 0 for c in changes)


@pytest.mark.parametrize("last", ["raise SystemExit(3)", "print('{}', flush=True); input(); raise SystemExit(3)"])
def test_a_process_that_dies_is_named_with_its_exit_status(last):
    process = subprocess.Popen([sys.executable, "-c", last], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with pytest.raises(UserError, match="there: the process that measures it ended with exit status 3"):
        against.Child(process, Path("there")).round()
    process.communicate()
