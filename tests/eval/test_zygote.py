"""Sealed processes forked from one that has imported everything: what a child has of it, and how the two end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pgolf.eval import zygote
from pgolf.eval.home import Home
from pgolf.eval.source import PackageSource
from tests.processes import descendants, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no zygotes")

ROOT = Path(__file__).resolve().parents[2]
# A sealed process's life, in place of the real one: tell what is there, then end as told.
TELLS = """
import json, os, sys, tempfile, threading
def main(starter):
    import numba, numpy
    facts = {
        "pid": os.getpid(), "starter": starter, "parent": os.getppid(), "session": os.getsid(0),
        "environment": dict(os.environ), "folder": os.getcwd(), "temporary": tempfile.gettempdir(),
        "open": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
        "tasks": len(os.listdir("/proc/self/task")), "torch": "torch" in sys.modules, "argv": sys.argv[2:],
        "numba_cache": numba.config.CACHE_DIR,
        "product": float((numpy.ones((300, 300)) @ numpy.ones((300, 300)))[0, 0]),
    }
    print(json.dumps(facts), flush=True)
    how = sys.stdin.readline().strip()
    if how == "raise": raise ValueError("as it was told")
    if how == "die": os.kill(os.getpid(), 9)
    if how == "wait": __import__("time").sleep(600)
import pgolf.eval.sealed_child
pgolf.eval.sealed_child.main = main
"""


@pytest.fixture(scope="module")
def bred():
    """A zygote whose children live TELLS, and the places of its packages."""
    places = Home(PackageSource()).library.places
    command, start = zygote.python, f"exec({TELLS!r}); from pgolf.eval.zygote import breed; breed()"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zygote, "python", lambda program, *rest: command(start, *rest))
        yield zygote.Zygote(places, {"OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"})


@pytest.fixture
def fork(bred, tmp_path):
    with tempfile.TemporaryFile() as log:
        environment = {"NUMBA_CACHE_DIR": str(tmp_path / "numba"), "TMPDIR": str(tmp_path), "LANG": "C.UTF-8"}
        yield lambda: bred.fork(environment, tmp_path, log.fileno()), log, environment


def say(child, word):
    child.stdin.write(word.encode() + b"\n")
    child.stdin.flush()


def test_a_child_has_its_own_folder_environment_session_and_streams_and_nothing_else(fork, tmp_path):
    child = fork[0]()
    told = json.loads(child.stdout.readline())
    say(child, "end")
    assert child.wait(20) == 0
    assert told["environment"] == fork[2]
    assert (told["folder"], told["temporary"]) == (str(tmp_path), str(tmp_path))
    assert told["session"] == told["pid"] == child.pid and told["starter"] == told["parent"] != os.getpid()
    assert told["open"] == [0, 1, 2] and told["tasks"] == 1 and told["argv"] == []
    assert told["torch"] and told["numba_cache"] == fork[2]["NUMBA_CACHE_DIR"] and told["product"] == 300


@pytest.mark.parametrize(("how", "status"), [("end", 0), ("raise", 1), ("die", -signal.SIGKILL)])
def test_how_a_child_ended_is_told(fork, how, status):
    child = fork[0]()
    child.stdout.readline()
    assert child.poll() is None
    say(child, how)
    assert child.wait(20) == child.wait() == child.poll() == status
    fork[1].seek(0)
    assert ("ValueError: as it was told" in fork[1].read().decode()) is (how == "raise")


def test_children_live_side_by_side_and_each_can_be_killed(fork):
    first, second = fork[0](), fork[0]()
    for child in (first, second):
        child.stdout.readline()
        say(child, "wait")
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.2)
    first.kill()
    assert first.wait(20) == -signal.SIGKILL and second.poll() is None
    second.kill()
    assert second.wait(20) == -signal.SIGKILL
    second.kill()  # who has ended is left alone


def test_a_zygote_that_nobody_holds_ends_and_with_it_its_children(tmp_path):
    before = {seen.pid for seen in descendants(os.getpid())}
    nobodys = zygote.Zygote({}, {})
    with tempfile.TemporaryFile() as log:
        child = nobodys.fork({}, tmp_path, log.fileno())  # waits for its order
    below = [seen for seen in descendants(os.getpid()) if seen.pid not in before]
    assert len(below) == 2
    del nobodys, child
    until(lambda: not any(seen.alive() for seen in below), 20)


def test_settings_that_change_make_another_zygote_and_a_dead_one_is_replaced(tmp_path):
    seen = []
    with tempfile.TemporaryFile() as log:
        for settings in ({}, {}, {"MKL_CBWR": "AVX2"}, "kill", {"MKL_CBWR": "AVX2"}, {"MKL_CBWR": "AVX2"}):
            if settings == "kill":
                os.kill(zygote._living[1]._process.pid, signal.SIGKILL)
                zygote._living[1]._process.wait()
                continue
            child = zygote.fork({}, settings, tmp_path, log.fileno())
            seen.append(zygote._living[1] and zygote._living[1]._process.pid)
            if child is not None:
                child.kill()
                child.wait(20)
    first, same, other, died, fresh = seen
    assert first == same != other and died is None and fresh not in (None, other)
