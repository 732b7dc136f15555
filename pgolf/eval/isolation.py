"""Isolation by the kernel: what a sealed process can reach is decided outside of it, for compiled code as for Python.

Landlock (Linux 5.13 and later) takes from a process and its children, for the rest of their lives, every file but
those listed: C code that calls ``open``, libc reached through ctypes, the memory of the process that started it. No
program may be executed at all, nothing may be written but in temporary folders of its own. From its version 4 on it
takes TCP too, from 6 on signals to others and abstract sockets. Namespaces take the network and the shared memory of
others; a filter of system calls (seccomp) takes sockets of any kind and what reaches other processes. None of these
needs privileges or a library.

``isolate`` says what held, found by trying. Where the kernel has none of it, Python's audit hook is all that is left
(``pgolf.eval.seal``), and the label says so.

Landlock restricts the thread that asks for it and what that thread starts later, so ``isolate`` comes before anything
that may start threads: numpy and torch are imported inside.
"""

from __future__ import annotations

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
_NEW_USER, _NEW_NETWORK, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000

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
_CALLS = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}  # with the machine's audit number
_OTHER_TABLE = 0x40000000  # of x86_64: calls by other numbers
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # the latter with EPERM

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

    Raises NotIsolated where the kernel agreed and the file that is forbidden, or the memory of ``parent``, can be read
    all the same.
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
    _drop_privileges(libc)
    version = _landlock(libc, reach)
    filtered = not reach.devices and _filter_calls(libc)  # a GPU's driver may want calls of its own
    if version:
        for path in (reach.forbidden, f"/proc/{parent}/mem"):
            if _opens(path):
                raise NotIsolated(f"isolation: the kernel was to refuse {path}, and it could be opened")
    held = [f"landlock {version}"] if version else []
    if own_ipc and _network() != network:
        held.append("network namespace")
    if filtered and _no_sockets():
        held.append("seccomp")
    if not version:
        held.insert(0, "audit hook" if held else HOOK_ONLY)
    return " + ".join(held)


def _new_namespaces(libc: Any) -> bool:
    """A network and shared memory of its own; whether there are any. Who is not root needs own users for that."""
    user = os.getuid()
    if user != 0 or libc.unshare(_NEW_NETWORK | _NEW_IPC):
        if libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_IPC):
            return False
        try:
            with open("/proc/self/uid_map", "w") as file:
                file.write(f"{user} {user} 1")
        except OSError:  # then it has another number inside, which nothing asks for
            pass
    return True


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


def _filter_calls(libc: Any) -> bool:
    """Refuse the system calls of _CALLS from now on; whether this machine's are known and the kernel does."""
    machine, numbers = _CALLS.get(os.uname().machine, (0, {}))
    if not numbers or struct.calcsize("P") != 8:
        return False
    last = len(numbers) + 5  # where it is refused
    lines = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, last - 2, machine),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, last - 4, 0, _OTHER_TABLE),
        *((_EQUAL, last - 5 - index, 0, number) for index, number in enumerate(numbers.values())),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in lines))
    told = struct.pack("<HxxxxxxQ", len(lines), ctypes.addressof(program))
    return not libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.c_char_p(told), *map(ctypes.c_ulong, (0, 0)))


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
