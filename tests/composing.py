"""Hydra composes as ever, but what it has read and parsed for one composition of a test process it knows at the next.

A composition takes a fifth of a second, and half of it goes into files and interpolations that are as they were
before, and into a map that only a defaults list with an interpolation looks at. ``test_composing.py`` shows that
nothing else changes.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from unittest import mock

from hydra._internal import config_loader_impl, config_repository, defaults_list
from omegaconf import _utils, base

_Repository, _Loader = config_repository.ConfigRepository, config_loader_impl.ConfigLoaderImpl
_load_config, _embed = _Repository.load_config, _Loader._embed_result_config
_create_interpolation_map = defaults_list._create_interpolation_map
_parse = lru_cache(4096)(base.parse)
_read: dict[tuple[Any, ...], Any] = {}


def remember() -> None:
    """From now on compositions share what files say."""
    for patch in _PATCHES:
        patch.start()


@contextmanager
def forgetting() -> Iterator[None]:
    """Hydra as it is, for a while."""
    for patch in _PATCHES:
        patch.stop()
    try:
        yield
    finally:
        remember()


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
    mock.patch.object(_Repository, "load_config", _kept),
    mock.patch.object(_Loader, "_embed_result_config", staticmethod(_embedded)),
    mock.patch.object(defaults_list, "_create_interpolation_map", _map_where_wanted),
    mock.patch.object(base, "parse", _parse),
    mock.patch.object(_utils, "parse", _parse),
)
