"""Sealed processes forked from one that has imported everything: what a child has of it, and how the two end."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
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
        mother = zygote.Zygote(places, {"OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"})
    yield mother


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
    waiting = threading.Thread(target=second.wait)
    waiting.start()  # who waits keeps nobody from ending it
    second.kill()
    waiting.join(20)
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
                os.kill(zygote._living["test"][1]._process.pid, signal.SIGKILL)
                zygote._living["test"][1]._process.wait()
                continue
            child = zygote.fork("test", {}, settings, tmp_path, log.fileno())
            seen.append(child and zygote._living["test"][1]._process.pid)
            if child is not None:
                child.kill()
                child.wait(20)
    first, same, other, died, fresh = seen
    assert first == same != other and died is None and fresh not in (None, other)
    zygote._living.pop("test")


# --- what goes wrong --------------------------------------------------------------------------------------------


def ended(tmp_path, task="test"):
    """The number of a child of ``task`` that has been ended, and of its zygote."""
    with tempfile.TemporaryFile() as log:
        child = zygote.fork(task, {}, {}, tmp_path, log.fileno())
    child.kill()
    child.wait(20)
    return child.pid, zygote._living[task][1]._process.pid


@pytest.fixture
def tasks():
    yield
    for task in ("test", "other"):
        zygote._living.pop(task, None)


def test_who_scores_and_who_audits_have_zygotes_of_their_own(tmp_path, tasks):
    assert ended(tmp_path)[1] == ended(tmp_path)[1] != ended(tmp_path, "other")[1]


def test_a_zygote_that_was_interrupted_before_it_answered_answers_nobody_else(tmp_path, tasks, monkeypatch):
    """The next child would have the number of the one that nobody waits for."""
    _, first = ended(tmp_path)

    class Interrupted:
        def __init__(self, line):
            self.line = line

        def __getattr__(self, name):
            return getattr(self.line, name)

        def recv(self, size):
            raise KeyboardInterrupt

    living = zygote._living["test"][1]
    living._line = Interrupted(living._line)
    del living
    with pytest.raises(KeyboardInterrupt):
        ended(tmp_path)
    below = {seen.pid for seen in descendants(os.getpid())}
    with tempfile.TemporaryFile() as log:
        child = zygote.fork("test", {}, {}, tmp_path, log.fileno())
    fresh = [seen for seen in descendants(os.getpid()) if seen.pid == child.pid]
    assert fresh and child.pid not in below and fresh[0].parent != first
    child.kill()
    child.wait(20)


def test_a_fork_of_the_judge_leaves_the_judges_zygotes_and_folders_alone(tmp_path, tasks):
    """``line``: held by the fork, it would keep the zygote when the judge is gone."""
    _, ours = ended(tmp_path)
    living, kernels = zygote._living["test"][1], PackageSource().kernels
    line = living._line.fileno()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            left = not zygote._living and living._line.fileno() == -1 and not os.path.exists(f"/proc/self/fd/{line}")
            _, its_own = ended(tmp_path)
            zygote._living.clear()
            for finalizer in list(weakref.finalize._registry):
                finalizer()  # as at the end of a process
            status = 0 if left and its_own != ours else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert kernels.is_dir() and ended(tmp_path)[1] == ours


def test_a_zygote_that_cannot_fork_says_so_and_its_children_live_on(tmp_path):
    mother = zygote.Zygote({}, {})
    with tempfile.TemporaryFile() as log:
        first = mother.fork({}, tmp_path, log.fileno())
        limits = resource.prlimit(mother._process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(mother._process.pid, resource.RLIMIT_NOFILE, (8, limits[1]))  # no descriptor is left
        with pytest.raises(OSError):
            mother.fork({}, tmp_path, log.fileno())
        assert first.poll() is None
        first.kill()
        assert first.wait(20) == -signal.SIGKILL
        resource.prlimit(mother._process.pid, resource.RLIMIT_NOFILE, limits)
        assert mother.fork({}, tmp_path, log.fileno()).pid != first.pid  # there is room again


def test_a_child_can_be_waited_for_whatever_the_numbers_of_descriptors(tmp_path):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most < 1200:
        pytest.skip("fewer descriptors than a set of them holds")
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with tempfile.TemporaryFile() as log:
            child = zygote.Zygote({}, {}).fork({}, tmp_path, log.fileno())
        child.kill()
        assert child.wait(20) == -signal.SIGKILL
    finally:
        for number in held:
            os.close(number)


def test_a_request_that_is_too_long_is_refused_and_the_zygote_lives_on(bred, fork, tmp_path):
    with tempfile.TemporaryFile() as log, pytest.raises(OSError, match="a request of"):
        bred.fork({"LD_LIBRARY_PATH": "/a" * zygote._MOST_BYTES}, tmp_path, log.fileno())
    child = fork[0]()
    child.stdout.readline()
    say(child, "end")
    assert child.wait(20) == 0
