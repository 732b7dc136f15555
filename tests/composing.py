"""Hydra composes as ever, but what it has read and parsed for one composition of a test process it knows at the next.

A composition takes a fifth of a second, and half of it goes into files and interpolations that are as they were
before, and into a map that only a defaults list with an interpolation looks at. What it has composed is kept too, in
pytest's cache, until something changes of which compositions are made. ``test_composing.py`` shows that nothing else
changes.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import hydra
import omegaconf
from hydra._internal import config_loader_impl, config_repository, defaults_list
from hydra.core.utils import JobRuntime
from omegaconf import _utils, base

ROOT = Path(__file__).resolve().parents[1]
KEPT = "PGOLF_TEST_COMPOSED"  # where compositions are kept, for all processes that tests start
# What compositions are made of, beside the words: names, numbers, and the schema with what it computes.
_MADE_OF = ("conf/**/*.yaml", "pgolf/config/*.py", "pgolf/core/*.py", "tests/composing.py")

_Repository, _Loader = config_repository.ConfigRepository, config_loader_impl.ConfigLoaderImpl
_load_config, _embed = _Repository.load_config, _Loader._embed_result_config
_load_configuration = _Loader._load_configuration_impl
_create_interpolation_map = defaults_list._create_interpolation_map
_parse = lru_cache(4096)(base.parse)
_read: dict[tuple[Any, ...], Any] = {}


def remember() -> None:
    """From now on compositions share what files say."""
    for patch in _PATCHES:
        patch.start()


def keep(folder: Path) -> None:
    """From now on compositions of this tree outlast the process there, until something changes that makes them."""
    own = folder / _state_of(ROOT)
    with suppress(OSError):  # they are only kept where there is room
        for stale in folder.iterdir():
            if stale != own:
                shutil.rmtree(stale, ignore_errors=True)
        own.mkdir(exist_ok=True)
        os.environ[KEPT] = str(own)


def _state_of(root: Path) -> str:
    said = hashlib.sha256(repr((str(root), sys.version, hydra.__version__, omegaconf.__version__)).encode())
    for path in sorted(path for pattern in _MADE_OF for path in root.glob(pattern)):
        said.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return said.hexdigest()


@cache
def _kept_at(folder: str, root: Path) -> Path | None:
    """There, unless it is another tree's, whose process started this one."""
    return Path(folder) if Path(folder).name == _state_of(root) else None


@contextmanager
def forgetting() -> Iterator[None]:
    """Hydra as it is, for a while."""
    for patch in _PATCHES:
        patch.stop()
    try:
        yield
    finally:
        remember()


def _composed(loader: Any, config_name: Any, overrides: Any, run_mode: Any, *rest: Any, **named: Any) -> Any:
    """The composition as it was kept, if there is one of these words; what it says of the process is this one's."""

    def anew() -> Any:
        return _load_configuration(loader, config_name, overrides, run_mode, *rest, **named)

    path = _place(loader, config_name, overrides, (str(run_mode), rest, sorted(named.items())))
    if path is None:
        return anew()
    try:
        cfg = pickle.loads(path.read_bytes())
    except (OSError, EOFError, pickle.UnpicklingError):
        cfg, whole = anew(), path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):  # another worker looks for it too
            whole.write_bytes(pickle.dumps(cfg))
            os.replace(whole, path)
        return cfg
    cfg.hydra.runtime.cwd = os.getcwd()
    return cfg


def _place(loader: Any, config_name: Any, overrides: Any, how: Any) -> Path | None:
    """Where the composition is kept; None for what depends on more than the words and this tree."""
    sources = [(source.scheme(), source.path) for source in loader.repository.get_sources()]
    ours = [("pkg", "hydra.conf"), ("file", str(ROOT / "conf")), ("structured", "")]
    folder = _kept_at(os.environ[KEPT], ROOT) if KEPT in os.environ and sources == ours else None
    if folder is None:
        return None
    if any("hydra" in word or tempfile.gettempdir() in word for word in overrides):
        return None
    said = repr((config_name, list(overrides), how, JobRuntime().get("name")))
    return folder / hashlib.sha256(said.encode()).hexdigest()


def _kept(repository: Any, config_path: str) -> Any:
    key = (config_path, *(_state(source, config_path) for source in repository.sources))
    if key not in _read:
        _read[key] = _load_config(repository, config_path)
    return _read[key]


def _state(source: Any, config_path: str) -> Any:
    """What tells whether a source still says the same for the path."""
    if source.scheme() != "file":
        return source.path
    path = os.path.join(source.path, source._normalize_file_name(config_path))
    try:
        return path, os.stat(path).st_mtime_ns
    except OSError:
        return path


def _embedded(read: Any, package: Any) -> Any:
    """What becomes part of the composed config itself is a copy."""
    result = _embed(read, package)
    return dataclasses.replace(read, config=copy.deepcopy(read.config)) if result.config is read.config else result


def _map_where_wanted(overrides: Any, defaults: Any, self_added: bool) -> Any:
    if any(not default.is_self() and default.is_interpolation() for default in defaults):
        return _create_interpolation_map(overrides, defaults, self_added)
    return None


_PATCHES = (
    mock.patch.object(_Loader, "_load_configuration_impl", _composed),
    mock.patch.object(_Repository, "load_config", _kept),
    mock.patch.object(_Loader, "_embed_result_config", staticmethod(_embedded)),
    mock.patch.object(defaults_list, "_create_interpolation_map", _map_where_wanted),
    mock.patch.object(base, "parse", _parse),
    mock.patch.object(_utils, "parse", _parse),
)
