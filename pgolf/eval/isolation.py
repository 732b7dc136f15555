"""Isolation by the kernel: what a sealed process can reach is decided outside of it, for compiled code as for Python.

Landlock (Linux 5.13 and later) takes from a process and its children, for the rest of their lives, every file but
those listed: C code that calls ``open``, libc reached through ctypes, the memory of the process that started it. No
program may be executed at all, nothing may be written but in temporary folders of its own. What it would still tell of
other files, a root of the process's own, in which they have no name, does not. From its version 4 on it
takes TCP too, from 6 on signals to others and abstract sockets. Namespaces take the network and the shared memory of
others; a filter of system calls (seccomp) takes sockets of any kind, what reaches other processes, and what would stay
when this one has ended, for a later one to find: times and attributes of files, which Landlock does not mind, limits of
the process that started it, processes that live on. None of these needs privileges or a library.

``isolate`` says what held, found by trying. Where the kernel has none of it, Python's audit hook is all that is left
(``pgolf.eval.seal``), and the label says so.

Landlock restricts the thread that asks for it and what that thread starts later, so ``isolate`` comes before anything
that may start threads: numpy and torch are imported inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HOOK_ONLY = "audit hook only"

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture that has them
_VERSION_WANTED, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE, _IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_REMOVE, _MAKE = 1 << 4 | 1 << 5, 1 << 7 | 1 << 8  # folders and files
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # by version, from which on so many rights to files are known
_TCP, _SCOPES = 0b11, 0b11  # binding and connecting; abstract sockets and signals
_CAPABILITIES, _OVERRIDES = 0x20080522, 0b110  # version 3; reading, writing and searching what is another's
_NEW_USER, _NEW_NETWORK, _NEW_IPC, _NEW_MOUNTS = 0x10000000, 0x40000000, 0x08000000, 0x00020000
_BIND, _RECURSIVELY, _PRIVATE, _REMOUNT, _READ_ONLY, _DETACH = 0x1000, 0x4000, 0x40000, 0x20, 0x1, 0x2

# What makes sockets, executes programs, looks into other processes or shares memory with them, by number.
_X86_64 = {
    "socket": 41, "socketpair": 53, "execve": 59, "execveat": 322, "ptrace": 101, "process_vm_readv": 310,
    "process_vm_writev": 311, "shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240, "add_key": 248, "keyctl": 250,
    "bpf": 321, "perf_event_open": 298, "io_uring_setup": 425, "pidfd_getfd": 438, "unshare": 272, "setns": 308,
}  # fmt: skip
_AARCH64 = {
    "socket": 198, "socketpair": 199, "execve": 221, "execveat": 281, "ptrace": 117, "process_vm_readv": 270,
    "process_vm_writev": 271, "shmget": 194, "msgget": 186, "semget": 190, "mq_open": 180, "add_key": 217,
    "keyctl": 219, "bpf": 280, "perf_event_open": 241, "io_uring_setup": 425, "pidfd_getfd": 438, "unshare": 97,
    "setns": 268,
}  # fmt: skip
# What leaves something behind that outlives the process, where a later one can find it: owner, mode, times and
# attributes of files that may not even be read (Landlock minds none of these), how another process is scheduled, keys,
# and processes that live on. What tells of a file more than its bytes: attributes, and which pages lie in memory.
_LEFT_X86_64 = {
    "fork": 57, "vfork": 58, "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93,
    "lchown": 94, "fchownat": 260, "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280, "setxattr": 188,
    "lsetxattr": 189, "fsetxattr": 190, "getxattr": 191, "lgetxattr": 192, "fgetxattr": 193, "listxattr": 194,
    "llistxattr": 195, "flistxattr": 196, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
    "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "file_getattr": 468,
    "file_setattr": 469, "setpriority": 141, "ioprio_set": 251, "sched_setscheduler": 144, "sched_setparam": 142,
    "sched_setattr": 314, "sched_setaffinity": 203, "setpgid": 109, "request_key": 249, "migrate_pages": 256,
    "move_pages": 279, "process_madvise": 440, "mincore": 27, "cachestat": 451, "preadv2": 327,
}  # fmt: skip
_LEFT_AARCH64 = {
    "fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "fchown": 55, "fchownat": 54, "utimensat": 88, "setxattr": 5,
    "lsetxattr": 6, "fsetxattr": 7, "getxattr": 8, "lgetxattr": 9, "fgetxattr": 10, "listxattr": 11, "llistxattr": 12,
    "flistxattr": 13, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "setxattrat": 463, "getxattrat": 464,
    "listxattrat": 465, "removexattrat": 466, "file_getattr": 468, "file_setattr": 469, "setpriority": 140,
    "ioprio_set": 30, "sched_setscheduler": 119, "sched_setparam": 118, "sched_setattr": 274, "sched_setaffinity": 122,
    "setpgid": 154, "request_key": 218, "migrate_pages": 238, "move_pages": 239, "process_madvise": 440,
    "mincore": 232, "cachestat": 451, "preadv2": 286,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Machine:
    """``audit``: its number in a filter. ``reaching, leaving``: calls by name. The rest by number: of these some uses
    are refused."""

    audit: int
    pivot_root: int
    reaching: dict[str, int]
    leaving: dict[str, int]
    clone: int
    prlimit64: int
    ioctl: int
    fcntl: int


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 155, _X86_64, _LEFT_X86_64, clone=56, prlimit64=302, ioctl=16, fcntl=72),
    "aarch64": _Machine(0xC00000B7, 41, _AARCH64, _LEFT_AARCH64, clone=220, prlimit64=261, ioctl=29, fcntl=25),
}
_CLONE3 = 435  # its flags lie in memory, where a filter cannot look; without it threads are made by clone
_OF_THREADS = 0x10000  # the flag of clone that makes no process
# Flags and project of a file, and what is remembered of how long its data live.
_FILE_FLAGS = (0x40086602, 0x40046602, 0x401C5820)
_LIFE_HINTS = (1036, 1038)
_OTHER_TABLE = 0x40000000  # of x86_64: calls by other numbers
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x00050001, 0x00050026  # with EPERM, with ENOSYS
_NUMBER, _AUDIT, _FIRST, _SECOND = 0, 4, 16, 24  # where a filter finds the call, the machine, the arguments

_NOWHERE = ("192.0.2.1", 9)  # an address that documents are written with; no network leads there


class NotIsolated(RuntimeError):
    """The kernel said that it would refuse something, and did not."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What is left, absolute paths: files and folders that may be read, folders that may be written too, and files of
    devices. ``forbidden``: a file that everyone may read and this process may not, to try."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    devices: tuple[str, ...]
    forbidden: str


def isolate(reach: Reach, parent: int) -> str:
    """Leave this process, which has one thread, nothing but ``reach``; returns what held, such as ``landlock 7``.

    Raises NotIsolated where the kernel agreed and the file that is forbidden, or the memory of ``parent`` or of who
    started this process for it, can be read all the same.
    """
    if sys.platform != "linux":
        return HOOK_ONLY
    import resource

    if not _opens(reach.forbidden):
        raise NotIsolated(f"isolation: {reach.forbidden} is not there to try")
    if len(os.listdir("/proc/self/task")) != 1:
        raise NotIsolated("isolation: this process has threads already, which would stay as they are")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the dump of a crash would lie where others read
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    network = _network()
    own_ipc = _new_namespaces(libc)
    own_root = _own_root(libc, reach)
    _drop_privileges(libc)
    version = _landlock(libc, reach)
    filtered = _filter_calls(libc, bool(reach.devices))
    if version:
        for path in (reach.forbidden, f"/proc/{parent}/mem", f"/proc/{os.getppid()}/mem"):
            if _opens(path):
                raise NotIsolated(f"isolation: the kernel was to refuse {path}, and it could be opened")
    held = [f"landlock {version}"] if version else []
    if own_ipc and _network() != network:
        held.append("network namespace")
    if own_root:
        held.append("own root")
    if filtered and (reach.devices or _no_sockets()):
        held.append("seccomp for a GPU" if reach.devices else "seccomp")
    if not version:
        held.insert(0, "audit hook" if held else HOOK_ONLY)
    return " + ".join(held)


def _new_namespaces(libc: Any) -> bool:
    """A network and shared memory of its own; whether there are any. Who is not root needs own users for that."""
    user, group = os.getuid(), os.getgid()
    if user != 0 or libc.unshare(_NEW_NETWORK | _NEW_IPC):
        if libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_IPC):
            return False
        names = {"uid_map": f"{user} {user} 1", "setgroups": "deny", "gid_map": f"{group} {group} 1"}
        for name, told in names.items():
            # Without it has another number inside, which only making files asks for.
            with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
                file.write(told)
    return True


def _own_root(libc: Any, reach: Reach) -> bool:
    """Give what is within reach, and nothing else, a name: of other files not even names, sizes, times and the ends of
    links can be asked, which Landlock tells. Whether it was done; it takes the right to mount."""
    machine = _MACHINES.get(os.uname().machine)
    root = os.path.join(os.path.dirname(reach.forbidden), "root")
    if machine is None or libc.unshare(_NEW_MOUNTS) or _mount(libc, None, "/", _RECURSIVELY | _PRIVATE):
        return False
    os.makedirs(root, exist_ok=True)  # another rank may have been here
    if _mount(libc, "none", root, 0, b"tmpfs"):
        return False
    try:
        return _moved_into(libc, root, reach, machine.pivot_root)
    except OSError:  # who may mount may yet not make files there
        return False


def _moved_into(libc: Any, root: str, reach: Reach, pivot_root: int) -> bool:
    """Fill ``root`` with what is within reach and make it this process's; whether it is."""
    bound: set[str] = set()
    wanted = [*reach.readable, *reach.writable, *reach.devices, os.devnull, reach.forbidden, "/proc"]
    for path in sorted(set(wanted), key=len):  # folders before what lies in them
        if os.path.exists(path) and not _bind(libc, root, path, bound):
            return False
    here = os.getcwd()
    os.chdir(root)
    if libc.syscall(pivot_root, b".", b".") or libc.umount2(b".", _DETACH):
        os.chdir(here)
        return False
    with contextlib.suppress(FileNotFoundError):  # where it may stay
        os.chdir(here)
    return not _mount(libc, None, "/", _REMOUNT | _BIND | _READ_ONLY)


def _bind(libc: Any, root: str, path: str, bound: set[str]) -> bool:
    """Put ``path`` at its place below ``root``, with the links on its way."""
    done = ""
    parts = os.path.abspath(path).strip("/").split("/")
    for index, part in enumerate(parts):
        done = f"{done}/{part}"
        if done in bound:
            return True
        if os.path.islink(done):
            end = os.readlink(done)
            if not os.path.lexists(root + done):
                os.symlink(end, root + done)
            return _bind(libc, root, os.path.join(os.path.dirname(done), end, *parts[index + 1 :]), bound)
        if index + 1 < len(parts):
            os.makedirs(root + done, exist_ok=True)
    if os.path.isdir(done):
        os.makedirs(root + done, exist_ok=True)
    else:
        open(root + done, "x").close()
    bound.add(done)
    return not _mount(libc, done, root + done, _BIND | _RECURSIVELY)


def _mount(libc: Any, what: str | None, where: str, flags: int, kind: bytes | None = None) -> bool:
    """Whether it failed."""
    encoded = None if what is None else os.fsencode(what)
    return bool(libc.mount(encoded, os.fsencode(where), kind, ctypes.c_ulong(flags), None))


def _drop_privileges(libc: Any) -> None:
    """All of root's, but to read and write what belongs to others: it may run from their folders."""
    asked, found = struct.pack("=Ii", _CAPABILITIES, 0), ctypes.create_string_buffer(24)
    if not libc.capget(asked, found):
        kept = struct.unpack("=6I", found.raw)[1] & _OVERRIDES
        libc.capset(asked, struct.pack("=6I", kept, kept, 0, 0, 0, 0))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))


def _landlock(libc: Any, reach: Reach) -> int:
    """Restrict the files; the version of Landlock that does, 0 where there is none."""
    version = _landlock_version(libc)
    if version < 1:
        return 0
    handled = (1 << max(rights for since, rights in _FILE_RIGHTS.items() if since <= version)) - 1
    asked = struct.pack("<QQQ", handled, _TCP, _SCOPES)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = libc.syscall(_CREATE_RULESET, asked, ctypes.c_size_t(len(asked)), ctypes.c_uint32(0))
    if rules < 0:
        return 0
    reading = _READ | _LIST
    _allow(libc, rules, reach.readable, handled & reading)
    _allow(libc, rules, reach.writable, handled & (reading | _WRITE | _TRUNCATE | _REMOVE | _MAKE))
    _allow(libc, rules, [os.devnull, *reach.devices], handled & (reading | _WRITE | _TRUNCATE | _IOCTL))
    if reach.devices:
        # CUDA's driver gives its threads names, files of /proc, and does not start where it may not.
        _allow(libc, rules, ["/proc/self/task"], handled & (_READ | _WRITE | _TRUNCATE))
    refused = libc.syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    os.close(rules)
    return 0 if refused else version


def _landlock_version(libc: Any) -> int:
    return int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_WANTED)))


def _allow(libc: Any, rules: int, paths: Iterable[str], rights: int) -> None:
    """What does not exist needs no rule."""
    for path in paths:
        try:
            there = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        own = rights if os.path.isdir(path) else rights & _OF_FILES
        rule = struct.pack("<Qi", own, there)
        if libc.syscall(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0)):
            raise OSError(ctypes.get_errno(), f"isolation: no rule could be made for {path}")
        if not path.startswith("/proc/"):  # a process's files there are made anew unless they are held
            os.close(there)


def _filter_calls(libc: Any, devices: bool) -> bool:
    """Refuse system calls from now on; whether this machine's are known and the kernel does.

    ``devices``: not those that the driver of a GPU may want, only what leaves something behind.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None or struct.calcsize("P") != 8:
        return False
    lines = [
        (_LOAD, 0, 0, _AUDIT),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
        *_refuse_if(_AT_LEAST, _OTHER_TABLE),
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _UNKNOWN),
    ]
    for number in [*({} if devices else machine.reaching).values(), *machine.leaving.values()]:
        lines += _refuse_if(_EQUAL, number)
    file_flags = [line for flags in _FILE_FLAGS for line in _refuse_if(_EQUAL, flags)]
    hints = [line for hint in _LIFE_HINTS for line in _refuse_if(_EQUAL, hint)]
    lines += _of_call(machine.clone, _FIRST, [(_ANY_BIT, 1, 0, _OF_THREADS), (_RETURN, 0, 0, _REFUSE)])
    lines += _of_call(machine.prlimit64, _FIRST, [(_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _REFUSE)])  # of others
    lines += _of_call(machine.ioctl, _SECOND, file_flags)
    lines += _of_call(machine.fcntl, _SECOND, hints)
    lines.append((_RETURN, 0, 0, _ALLOW))
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in lines))
    told = struct.pack("<HxxxxxxQ", len(lines), ctypes.addressof(program))
    return not libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.c_char_p(told), *map(ctypes.c_ulong, (0, 0)))


def _refuse_if(test: int, value: int) -> list[tuple[int, int, int, int]]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, _REFUSE)]


def _of_call(number: int, argument: int, lines: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """``lines`` look at an argument of the call; where they refuse nothing it is allowed."""
    return [(_EQUAL, 0, len(lines) + 2, number), (_LOAD, 0, 0, argument), *lines, (_RETURN, 0, 0, _ALLOW)]


def _opens(path: str) -> bool:
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def _network() -> str:
    try:
        return os.readlink("/proc/self/ns/net")
    except OSError:
        return ""


def _no_sockets() -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
            there.connect(_NOWHERE)
    except PermissionError:
        return True
    except OSError:
        pass
    return False
