"""train.py and eval.py as whole runs, in processes that need not import everything first.

They are forked from one process per test worker that has imported what a run imports, has composed a config and made
its script; so a run begins as if it were started by hand, four seconds later. What starts, signals, streams and files
of a process of its own are like is tested with real ones.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from unittest import mock

from pgolf.eval import home, zygote

ROOT = Path(__file__).resolve().parents[1]


def run(script: str, *words: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The script with those words, to its end."""
    with tempfile.TemporaryFile() as log:
        child = _zygote().fork({**environment, LENDER: _lender()}, cwd, log.fileno())
        with child.stdin, child.stdout:
            child.stdin.write(json.dumps([str(ROOT / script), *words]).encode() + b"\n")
            child.stdin.flush()
            out = child.stdout.read().decode()
        status = child.wait(300)
        log.seek(0)
        return subprocess.CompletedProcess([script, *words], status, out, log.read().decode())


LENDER = "PGOLF_TEST_LENDER"  # where runs ask for a child of a shared zygote


@cache
def _lender() -> str:
    """The address that a thread of this process answers at."""
    folder = tempfile.mkdtemp(prefix="pgolf-lender-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.bind(f"{folder}/line")
    asked.listen()
    threading.Thread(target=_lend, args=(asked,), daemon=True).start()
    return f"{folder}/line"


def _lend(asked: socket.socket) -> None:
    living: dict[str, zygote.Zygote] = {}
    while True:
        line, _ = asked.accept()
        with line:
            message, logs, _, _ = socket.recv_fds(line, zygote._MOST_BYTES, 1)
            task, places, environment, folder = json.loads(message)
            settings = {name: value for name, value in environment.items() if name not in zygote._OWN}
            key = json.dumps([task, places, settings], sort_keys=True)
            try:
                if key not in living:
                    living[key] = zygote.Zygote(places, settings)
                child = living[key].fork(environment, Path(folder), logs[0])
                streams = (child.stdin, child.stdout, child._status)
                socket.send_fds(line, [str(child.pid).encode()], [stream.fileno() for stream in streams])
                for stream in streams:
                    stream.close()
            except OSError:
                living.pop(key, None)  # and the run, which hears nothing, has one of its own
            finally:
                for log in logs:
                    os.close(log)


def _borrowed(
    task: str, places: Mapping[str, str], environment: Mapping[str, str], folder: Path, log: int
) -> zygote.Forked | None:
    """In a run: in the place of ``zygote.fork``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(os.environ[LENDER])
        asked = json.dumps([task, dict(places), dict(environment), str(folder)]).encode()
        socket.send_fds(line, [asked], [log])
        pid, streams, _, _ = socket.recv_fds(line, zygote._MOST_BYTES, 3)
        if not pid:
            return None
        stdin, stdout, status = (os.fdopen(fd, mode) for fd, mode in zip(streams, ("wb", "rb", "rb"), strict=True))
        return zygote.Forked(None, int(pid), stdin, stdout, status)  # type: ignore[arg-type]


@cache
def _zygote() -> zygote.Zygote:
    command = [sys.executable, "-c", "from tests.warm import breed; breed()"]
    with mock.patch.object(zygote, "python", lambda program, line: [*command, line]):
        return zygote.Zygote({}, {**os.environ, "PYTHONPATH": str(ROOT)})


def breed() -> None:
    import hydra  # noqa: F401
    import torch._dynamo  # noqa: F401 - an optimizer's first step imports it

    import pgolf.run.rescore
    import pgolf.run.rules
    import pgolf.run.stages  # noqa: F401
    from pgolf.bundle.script import make_bundle
    from tests import composing
    from tests.helpers import SMOKE, tiny_settings

    composing.remember()
    make_bundle(tiny_settings(*SMOKE))  # its modules are parsed for all scripts to come

    with socket.socket(fileno=int(sys.argv.pop())) as line:
        zygote._Nursery(line, _live).run()


def _live(starter: int) -> None:
    """One run, which ends as a process does."""
    sys.argv = json.loads(sys.stdin.readline())
    sys.path.insert(0, str(ROOT))
    home.fork = _borrowed
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
