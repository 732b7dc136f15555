"""The bench of waiting: every way is measured, beside the busy processes that were asked for."""

import json
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from pgolf.bench import waiting as bench
from pgolf.bench.waiting import MEASURES, WAYS
from pgolf.cli.main import main
from pgolf.core.errors import UserError


@pytest.mark.slow
def test_every_way_is_measured_quiet_and_beside_a_busy_process(capsys):
    words = ["--size", "tiny", "--rounds", "1", "--steps", "1", "--busy", "1", "--compile", "never"]
    assert main(["bench", "waiting", *words]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    rows = json.loads(last)
    assert {(row["beside"], row["way"]) for row in rows} == {(b, way) for b in (0, 1) for way in WAYS}
    assert all(row[name] > 0 for row in rows for name in MEASURES)


def test_where_none_are_to_be_busy_beside_it_is_measured_once(monkeypatch):
    asked = []

    class Worker:
        def ask(self):
            asked.append(1)
            return dict.fromkeys(MEASURES, 1.0)

    monkeypatch.setattr(bench, "_worker", lambda arguments, way: nullcontext(Worker()))
    found = bench.measure(SimpleNamespace(rounds=2, busy=0))
    assert found.keys() == {(0, way) for way in WAYS} and len(asked) == 2 * len(WAYS)


def test_a_measuring_process_that_cannot_begin_is_named_with_its_exit_status(tmp_path, monkeypatch, capsys):
    (tmp_path / "torch.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert main(["bench", "waiting", "--size", "tiny"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("pgolf bench waiting: the process that waits the default way ended with exit status 7")


@pytest.mark.parametrize("last", ["raise SystemExit(3)", "input(); raise SystemExit(3)"])
def test_a_measuring_process_that_dies_on_the_way_is_named_with_its_exit_status(last):
    child = subprocess.Popen([sys.executable, "-c", last], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not last.startswith("input"):
        child.wait()
    with pytest.raises(UserError, match="waits the passive way ended with exit status 3"):
        bench._Worker("passive", child).ask()
    child.communicate()


def test_an_unknown_size_is_refused_before_a_process_is_started(capsys):
    assert main(["bench", "waiting", "--size", "tyny"]) == 2
    assert "Did you mean 'tiny'?" in capsys.readouterr().err


def test_the_ways_differ_in_their_environment():
    assert len({json.dumps(way) for way in WAYS.values()}) == len(WAYS) == 3


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_spinning_is_bounded_unless_the_user_decides(monkeypatch, name):
    import os

    from pgolf.core.threads import SPINS, bound_spinning

    for one in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, "7")
    bound_spinning()
    assert os.environ.get("GOMP_SPINCOUNT", "unset") == ("7" if name == "GOMP_SPINCOUNT" else "unset")
    monkeypatch.delenv(name)
    bound_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == str(SPINS)
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.delenv("KMP_BLOCKTIME")
