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
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from unittest import mock

from pgolf.eval import zygote

ROOT = Path(__file__).resolve().parents[1]


def run(script: str, *words: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The script with those words, to its end."""
    with tempfile.TemporaryFile() as log:
        child = _zygote().fork(environment, cwd, log.fileno())
        with child.stdin, child.stdout:
            child.stdin.write(json.dumps([str(ROOT / script), *words]).encode() + b"\n")
            child.stdin.flush()
            out = child.stdout.read().decode()
        status = child.wait(300)
        log.seek(0)
        return subprocess.CompletedProcess([script, *words], status, out, log.read().decode())


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
