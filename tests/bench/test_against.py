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

HERE = Path(against.__file__).parents[1]


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


def tree(root, toy="", **files):
    """A checkout with as little as there was at first: names, errors, settings, and no more."""
    for package in ("", "core", "bench", "config"):
        (root / "pgolf" / package).mkdir(parents=True, exist_ok=True)
        (root / "pgolf" / package / "__init__.py").touch()
    (root / "conf").mkdir()
    (root / "conf" / "config.yaml").touch()
    (root / "pgolf" / "core" / "errors.py").write_text((HERE / "core" / "errors.py").read_text())
    (root / "pgolf" / "config" / "make.py").write_text("def make(node, **runtime): ...\n")
    for name, text in files.items():
        (root / "pgolf" / f"{name}.py").write_text(text)
    return root


@pytest.fixture
def older(tmp_path):
    return tree(tmp_path / "older", data="", speed="SPEED = 2.0")


TOY = """
from pgolf.bench.figures import Reading
class Toy:
    def __init__(self, setting):
        self.size, self.count = {"words": list(setting.words)}, 0
    def round(self):
        from pgolf.speed import SPEED
        print("what a benchmark prints is no answer")
        self.count += 1
        return [Reading("speed", SPEED * self.count, "tokens/s")]
    def close(self): ...
session = Toy
"""


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """This checkout, with code that is three times as quick and a benchmark of it."""
    root = tree(tmp_path / "ours", speed="SPEED = 6.0")
    for name in ("bench/figures", "bench/rounds", "bench/against", "core/command"):
        (root / "pgolf" / f"{name}.py").write_text((HERE / f"{name}.py").read_text())
    (root / "pgolf" / "bench" / "toy.py").write_text(TOY)
    monkeypatch.setattr(against, "root", lambda: root)
    return root


def test_one_benchmark_runs_over_the_code_of_both(older, ours):
    found = against.in_turns("toy", older, Setting((1,), words=("a",)), ("b",), 5)
    (change,) = found.changes
    assert (change.old, change.new, change.ratio.low, change.ratio.high) == (8, 24, 3, 3)
    assert change.verdict == "better" and found.notes == ("toy: words: ['b'] there, ['a'] here",)


def test_where_one_of_both_lacks_something_it_is_named(older, ours):
    (older / "pgolf" / "speed.py").unlink()
    with pytest.raises(UserError, match=f"{older}: ModuleNotFoundError: No module named 'pgolf.speed'"):
        against.in_turns("toy", older, Setting((1,)), (), 1)
    found = against.in_turns("absent", older, Setting((1,)), (), 1)
    assert [note.startswith("absent: not measured: ") for note in found.notes] == [True, True]


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


@pytest.mark.slow
def test_a_benchmark_over_two_checkouts_is_told_as_ratios_of_pairs(older, tmp_path, capsys):
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
