"""train.py and eval.py as whole runs, and sealed processes, in processes that need not import everything first.

Runs are forked from a process that has imported what a run imports, has composed a config and made its script; so a
run begins as if it were started by hand, four seconds later. Sealed processes are forked from zygotes that runs and
test workers share, where each would have its own and start another whenever it is told other packages. What starts,
signals, streams and files of a process of its own are like is tested with real ones.

The first pytest process of all, which outlives its workers, keeps those that fork, and lends children of them.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from unittest import mock

from pgolf.eval import home, zygote

ROOT = Path(__file__).resolve().parents[1]


LENDER = "PGOLF_TEST_LENDER"  # where children are asked for
_OF_A_TREE = "PGOLF_TEST_LENDER_OF"  # whose code they have
_RUN = "run"  # in place of a sealed process's task
_PATIENCE_SECONDS = 300  # until a child is there, on a machine that is busy


def run(script: str, *words: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The script with those words, to its end."""
    with tempfile.TemporaryFile() as log:
        child = start(script, *words, cwd=cwd, environment=environment, log=log)
        with child.stdin, child.stdout:
            out = child.stdout.read().decode()
        status = child.wait(_PATIENCE_SECONDS)
        log.seek(0)
        return subprocess.CompletedProcess([script, *words], status, out, log.read().decode())


def start(script: str, *words: str, cwd: Path, environment: Mapping[str, str], log: IO[bytes]) -> zygote.Forked:
    """The script with those words, at its beginning; ``log`` takes its error stream."""
    child = borrowed(_RUN, {}, {**environment, LENDER: os.environ[LENDER]}, cwd, log.fileno())
    assert child is not None, "the process that runs are forked from has ended"
    child.stdin.write(json.dumps([str(ROOT / script), *words]).encode() + b"\n")
    child.stdin.flush()
    return child


def lend() -> None:
    """Be the one who lends, unless there is one already, and take sealed processes of tests from it."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return
    home.fork = borrowed
    if os.environ.get(_OF_A_TREE) == str(ROOT):
        return
    folder = tempfile.mkdtemp(prefix="pgolf-lender-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.bind(f"{folder}/line")
    asked.listen()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    os.environ |= {LENDER: f"{folder}/line", _OF_A_TREE: str(ROOT)}


_starting = threading.Lock()  # that of runs is started by another command


def _listen(asked: socket.socket) -> None:
    living: dict[str, zygote.Zygote] = {}
    asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
    while True:
        line, _ = asked.accept()
        threading.Thread(target=_lend, args=(line, living, asking), daemon=True).start()


def _lend(line: socket.socket, living: dict[str, zygote.Zygote], asking: Mapping[str, threading.Lock]) -> None:
    with line:
        message, logs, _, _ = socket.recv_fds(line, zygote._MOST_BYTES, 1)
        task, places, environment, folder = json.loads(message)
        settings = {} if task == _RUN else {n: value for n, value in environment.items() if n not in zygote._OWN}
        key = json.dumps([task, places, settings], sort_keys=True)
        try:
            with asking[key]:
                if key not in living:
                    with _starting:
                        living[key] = _bearer() if task == _RUN else zygote.Zygote(places, settings)
                    living[key]._line.settimeout(_PATIENCE_SECONDS)
                child = living[key].fork(environment, Path(folder), logs[0])
            streams = (child.stdin, child.stdout, child._status)
            socket.send_fds(line, [str(child.pid).encode()], [stream.fileno() for stream in streams])
            for stream in streams:
                stream.close()
        except OSError:
            living.pop(key, None)  # and who hears nothing starts one of its own
        finally:
            for log in logs:
                os.close(log)


def borrowed(
    task: str, places: Mapping[str, str], environment: Mapping[str, str], folder: Path, log: int
) -> zygote.Forked | None:
    """In the place of ``zygote.fork``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(os.environ[LENDER])
        asked = json.dumps([task, dict(places), dict(environment), str(folder)]).encode()
        socket.send_fds(line, [asked], [log])
        pid, streams, _, _ = socket.recv_fds(line, zygote._MOST_BYTES, 3)
        if not pid:
            return None
        stdin, stdout, status = (os.fdopen(fd, mode) for fd, mode in zip(streams, ("wb", "rb", "rb"), strict=True))
        return zygote.Forked(None, int(pid), stdin, stdout, status)  # type: ignore[arg-type]


def _bearer() -> zygote.Zygote:
    """Of whole runs."""
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
    from pgolf.eval.library import library
    from tests import composing
    from tests.helpers import SMOKE, tiny_settings

    composing.remember()
    make_bundle(tiny_settings(*SMOKE))  # its modules are parsed for all scripts to come
    library(own=True)  # the lists of a hundred thousand files are read

    with socket.socket(fileno=int(sys.argv.pop())) as line:
        zygote._Nursery(line, _live).run()


def _live(starter: int) -> None:
    """One run, which ends as a process does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell Ctrl-C is ignored
    sys.argv = json.loads(sys.stdin.readline())
    sys.path.insert(0, str(ROOT))
    home.fork = borrowed
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
