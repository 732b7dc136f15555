"""A process that has imported what evaluation is made of, and forks: sealed processes start without importing it again.

One run starts three of them, and two of three seconds of each start go into importing torch. So they are forked from
a *zygote*, as browsers fork their tabs: it imports other people's packages, by the same rules as a sealed process
(``pgolf.eval.sealed_child``), and then does nothing but fork. It is told nothing of artifact, script or stream, so
that what a child finds in its memory is what it would have imported itself. A child leaves everything of it: its
session, folder, environment, streams and open files; then ``pgolf.eval.sealed_child.main`` closes it as ever.

Children of one zygote are alike in what a start draws by chance: the order of sets of words, addresses, numpy's random
state. So whoever scores and whoever audits come of two: what follows chance must not look as if it could be decoded.

A zygote ends, and its children with it, when the process that started it is gone, in whatever way: the line between
the two is then closed. Linux alone, where a process can be waited for by its descriptor; elsewhere, with a GPU, whose
driver does not outlive a fork, and where a zygote does not start, each sealed process starts by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

_STATUS = struct.Struct("<i")
_MOST_BYTES = 1 << 16  # of a message
_START_SECONDS = 60  # for the imports and a fork
_END_SECONDS = 10
_NONE = b"0"  # in place of the number of a child that could not be had
_OWN = ("HOME", "TMPDIR", "NUMBA_CACHE_DIR")  # of the environment: each child's own


class Forked:
    """A child of a zygote, as far as ``subprocess.Popen`` would show it."""

    def __init__(self, zygote: Zygote, pid: int, stdin: IO[bytes], stdout: IO[bytes], status: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None
        self._zygote, self._status = zygote, status  # the zygote lives as long as its children
        self._asking = threading.Lock()  # a timer asks too

    def poll(self) -> int | None:
        if self._asking.acquire(blocking=False):  # else another thread waits
            self._asking.release()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, negative for a signal. Raises subprocess.TimeoutExpired."""
        with self._asking:
            if self.returncode is None:
                telling = select.poll()  # select.select knows only low numbers
                telling.register(self._status, select.POLLIN)
                if not telling.poll(None if timeout is None else 1000 * timeout):
                    raise subprocess.TimeoutExpired("sealed process", timeout or 0)
                with self._status:
                    told = self._status.read(_STATUS.size)
                # Nothing is told where the zygote was killed, and its children with it.
                self.returncode = _STATUS.unpack(told)[0] if told else -signal.SIGKILL
            return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Zygote:
    """``places``: where its packages are (``pgolf.eval.library``); ``settings``: its environment. Raises OSError."""

    def __init__(self, places: Mapping[str, str], settings: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(_START_SECONDS)
        folder = tempfile.mkdtemp(prefix="pgolf-zygote-")
        with theirs, tempfile.TemporaryFile() as told:
            told.write(json.dumps(dict(places)).encode())
            told.seek(0)
            self._process = subprocess.Popen(
                python("from pgolf.eval.zygote import breed; breed()", str(theirs.fileno())),
                cwd=folder,
                env={**settings, **dict.fromkeys(_OWN, folder)},
                stdin=told,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        weakref.finalize(self, _end, self._line, self._process, folder, os.getpid())
        _zygotes.add(self)

    def leave(self) -> None:
        """In a fork of the process that started it: the line is that one's alone, whose end it is to tell of."""
        self._line.close()
        self._process.returncode = 0

    def fork(self, environment: Mapping[str, str], folder: Path, log: int) -> Forked:
        """A child with that environment, working folder and error stream. Raises OSError where the zygote has died."""
        asked = json.dumps({"environment": dict(environment), "folder": str(folder)}).encode()
        if len(asked) > _MOST_BYTES:
            raise OSError(f"a request of {len(asked):,} bytes, where the zygote reads {_MOST_BYTES:,}")
        with contextlib.ExitStack() as opened:
            (in_r, in_w), (out_r, out_w), (status_r, status_w) = (_pipe(opened) for _ in range(3))
            socket.send_fds(self._line, [asked], [in_r.fileno(), out_w.fileno(), log, status_w.fileno()])
            answer = self._line.recv(_MOST_BYTES)
            if answer in (b"", _NONE):
                raise OSError("the zygote could not fork" if answer else "the zygote has ended")
            opened.pop_all()
        for theirs in (in_r, out_w, status_w):
            theirs.close()
        return Forked(self, int(answer), in_w, out_r, status_r)


def _pipe(opened: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return opened.enter_context(open(read, "rb")), opened.enter_context(open(write, "wb"))


def _end(line: socket.socket, process: subprocess.Popen[bytes], folder: str, owner: int) -> None:
    line.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


_lock = threading.Lock()
_zygotes: weakref.WeakSet[Zygote] = weakref.WeakSet()  # that this process has started
_living: dict[str, tuple[tuple[object, ...], Zygote]] = {}  # by what their children do


def _begin_anew() -> None:
    """What a fork of this process has of its zygotes is not its own."""
    global _lock
    _lock = threading.Lock()
    for zygote in list(_zygotes):
        zygote.leave()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def fork(task: str, places: Mapping[str, str], environment: Mapping[str, str], folder: Path, log: int) -> Forked | None:
    """A child of a zygote that has imported those packages under that environment, as ``Zygote.fork`` makes it.

    The zygote stays for the next one with that ``task``. None where there can be none.
    """
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    settings = {name: value for name, value in environment.items() if name not in _OWN}
    key = tuple(sorted(settings.items())), tuple(sorted(places.items()))
    with _lock:
        known, zygote = _living.pop(task, ((), None))  # back only if it answers: what it owes is nobody else's
        try:
            if zygote is None or known != key:
                zygote = Zygote(places, settings)
            child = zygote.fork(environment, folder, log)
        except OSError:  # whoever starts by itself then says what is the matter
            return None
        _living[task] = key, zygote
        return child


def python(program: str, *arguments: str) -> list[str]:
    """The command: Python with ``program``, at first with the standard library and this package to import from."""
    root = str(Path(__file__).resolve().parents[2])
    start = f"import sys; sys.path.append(sys.argv[1]); {program}"
    return [sys.executable, "-I", "-S", "-B", "-c", start, root, *arguments]


def breed() -> None:
    """The zygote's life: import, then fork whenever it is asked to."""
    from pgolf.core.signals import HEEDED
    from pgolf.eval.sealed_child import import_packages, main

    for number in HEEDED:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv.pop())) as line:
        import_packages(json.load(sys.stdin))
        _Nursery(line, main).run()


class _Nursery:
    """The zygote's children, by the descriptors that tell of their ends."""

    def __init__(self, line: socket.socket, life: Callable[[int], None]) -> None:
        self._line, self._life = line, life
        self._children: dict[int, tuple[int, int]] = {}  # pid, where to tell its status
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        self._selector.register(self._line, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._line:
                    self._bury(key.fd)
                elif not self._fork():
                    for pid, _ in self._children.values():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    return

    def _fork(self) -> bool:
        """One child more; False where nobody is left to ask for it."""
        asked, streams, _, _ = socket.recv_fds(self._line, _MOST_BYTES, 4)
        if not asked:
            return False
        try:
            answer = self._child(asked, streams)
        except OSError:  # no room for a process or a descriptor more
            answer = _NONE
            for stream in streams[3:]:
                os.close(stream)
        for stream in streams[:3]:
            os.close(stream)
        self._line.send(answer)
        return True

    def _child(self, asked: bytes, streams: list[int]) -> bytes:
        if len(streams) < 4:
            raise OSError("descriptors were lost")
        starter = os.getpid()
        pid = os.fork()
        if pid == 0:
            _live(lambda: self._life(starter), json.loads(asked), streams[:3])
        try:
            ended = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._selector.register(ended, selectors.EVENT_READ)
        self._children[ended] = pid, streams[3]
        return str(pid).encode()

    def _bury(self, ended: int) -> None:
        """Tell whoever waits for it how the child has ended."""
        pid, teller = self._children.pop(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BrokenPipeError):
            os.write(teller, _STATUS.pack(status))
        self._selector.unregister(ended)
        os.close(teller)
        os.close(ended)


def _live(life: Callable[[], None], asked: Mapping[str, Any], streams: list[int]) -> None:
    """A child from its first breath to its last: what was the zygote's is left, then ``life``."""
    status = 1
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        # Those there are: as many as there may be can be a thousand million.
        for name in os.listdir("/proc/self/fd"):
            if int(name) >= len(streams):
                with contextlib.suppress(OSError):
                    os.close(int(name))
        sys.stdin = os.fdopen(0, closefd=False)  # the old one remembers another file
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(str(asked["folder"]))
        tempfile.tempdir = None  # the next who asks finds its own
        if "numba" in sys.modules:
            from numba.core import config

            config.reload_config()
        life()
        status = 0
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
