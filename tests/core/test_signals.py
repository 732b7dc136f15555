"""Each program below runs in a process of its own, whose signals nobody else has touched."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pgolf
from pgolf.core.signals import HEEDED, Stopped, exit_status, heeding_signals

ROOT = Path(pgolf.__file__).resolve().parents[1]
BEGIN = """
import os, signal, sys, threading
from pgolf.core.signals import exit_status, heeding_signals
"""
NAMES = [number.name for number in HEEDED]


def _plain() -> None:
    """Tests may run where a shell or ``nohup`` has these ignored."""
    for number in HEEDED:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        preexec_fn=_plain,
    )


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("SIGINT", "stopped by Ctrl-C", 130),
        ("SIGTERM", "stopped by SIGTERM", 143),
        ("SIGHUP", "stopped by SIGHUP", 129),
    ],
)
def test_a_signal_is_an_interrupt_that_knows_its_name_and_status(name, text, status):
    done = run(f"""
try:
    with heeding_signals():
        try:
            signal.raise_signal(signal.{name})
            print("went on")
        finally:
            print("cleaned")
except KeyboardInterrupt as stop:
    print(stop)
    sys.exit(exit_status(stop))
""")
    assert done.stdout.splitlines() == ["cleaned", text]
    assert done.returncode == status


def test_a_plain_interrupt_is_ctrl_c():
    assert exit_status(KeyboardInterrupt()) == 130


@pytest.mark.parametrize("name", NAMES)
def test_an_ignored_signal_stays_ignored_and_a_handled_one_with_its_handler(name):
    ignored = run(f"""
signal.signal(signal.{name}, signal.SIG_IGN)
with heeding_signals():
    signal.raise_signal(signal.{name})
    print("went on")
""")
    assert (ignored.stdout, ignored.returncode) == ("went on\n", 0)
    handled = run(f"""
signal.signal(signal.{name}, lambda number, frame: print("requeued"))
with heeding_signals():
    signal.raise_signal(signal.{name})
""")
    assert (handled.stdout, handled.returncode) == ("requeued\n", 0)


@pytest.mark.parametrize("second", NAMES)
def test_a_second_signal_does_not_stop_the_ending(second):
    done = run(f"""
try:
    with heeding_signals():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.{second})
            print("written")
except KeyboardInterrupt as stop:
    print(stop)
""")
    assert done.stdout.splitlines() == ["written", "stopped by SIGTERM"]
    assert "still ending" in done.stderr and done.returncode == 0


def test_two_signals_at_once_are_one_ending():
    """Both are pending when Python looks, as where a service manager sends SIGTERM and SIGHUP together."""
    done = run("""
class Record:
    def __enter__(self):
        pass
    def __exit__(self, kind, error, trace):
        print("written", error)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])
os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGHUP)
try:
    with heeding_signals(), Record():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGHUP])
        print("went on")
except KeyboardInterrupt:
    print("ended")
""")
    assert done.stdout.splitlines() == ["written stopped by SIGHUP", "ended"]


def test_where_the_first_was_swallowed_the_next_is_raised():
    done = run("""
class Swallows:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
try:
    with heeding_signals():
        Swallows()
        print("went on")
        signal.raise_signal(signal.SIGTERM)
        print("went on again")
except KeyboardInterrupt as stop:
    print(stop)
""")
    assert done.stdout.splitlines() == ["went on", "stopped by SIGTERM"]


def test_afterwards_the_signals_are_as_before():
    before = [signal.getsignal(number) for number in HEEDED]
    with pytest.raises(Stopped), heeding_signals():
        raise Stopped(signal.SIGTERM)
    assert [signal.getsignal(number) for number in HEEDED] == before


def test_in_another_thread_nothing_changes():
    done = run("""
def work():
    with heeding_signals():
        print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
thread = threading.Thread(target=work)
thread.start()
thread.join()
""")
    assert done.stdout == "True\n"


def test_a_signal_while_a_record_is_written_is_heeded_when_it_is_whole():
    done = run("""
from pgolf.core.signals import undisturbed
try:
    with heeding_signals():
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            print("written")
        print("went on")
except KeyboardInterrupt as stop:
    print(stop, exit_status(stop))
with undisturbed():
    print("nobody heeds signals here")
""")
    assert done.stdout.splitlines() == ["written", "stopped by SIGTERM 143", "nobody heeds signals here"]
    assert "still ending" in done.stderr
