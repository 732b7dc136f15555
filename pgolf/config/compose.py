"""Compose configs in-process, for tests, tools and ``eval.py``; train.py composes through ``hydra.main``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pgolf.config import schema
from pgolf.config.defaults import own_settings
from pgolf.config.groups import GROUPS
from pgolf.config.options import conf_dir
from pgolf.config.origins import addon_origins
from pgolf.config.preflight import option_exists, preflight
from pgolf.config.readonly import thaw
from pgolf.config.words import parse, quoted
from pgolf.core.command import home
from pgolf.core.errors import ConfigError, RunError
from pgolf.core.json_text import MAX_DEPTH, too_deep


def plain(node: Any) -> Any:
    """An OmegaConf node as resolved plain containers, enums by name."""
    return OmegaConf.to_container(node, resolve=True, enum_to_str=True)


def compose(overrides: Sequence[str] = (), config_name: str = "config", folder: Path | None = None) -> DictConfig:
    """The composed config for these command-line words, Hydra's own node included. ``folder``: where the primary config
    lies, if not in ``conf/``.

    Raises ConfigError for words that cannot be read, for a primary config that makes no run, else with Hydra's
    explanation.
    """
    schema.register()
    parse(overrides)
    own = conf_dir()
    search = [] if folder is None else [f"hydra.searchpath=[{quoted(f'file://{own}')}]"]
    try:
        with initialize_config_dir(config_dir=str((folder or own).resolve()), version_base="1.3"):
            cfg = hydra_compose(config_name, overrides=[*search, *overrides], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except (YAMLError, ValueError, RecursionError) as error:  # of a file; the last two name none
        raise ConfigError(f"{(folder or own) / config_name}.yaml: {' '.join(str(error).split())}") from error
    if absent := [key for key in get_type_hints(schema.Root) if key not in cfg.keys()]:  # noqa: SIM118 - "in" takes ??? for absent
        place = f"{(folder or own) / config_name}.yaml"
        raise ConfigError(f"{place}: makes no run: no {absent[0]} in it; its defaults begin with config")
    return cfg


def checked(words: Sequence[str]) -> dict[str, Any]:
    """``settings`` of a command line's words, one value each, where no ``hydra.main`` reads them.

    Raises ConfigError in the words of ``preflight``, listing every problem.
    """
    schema.register()
    preflight(words, conf_dir(), lambda chosen: settings(compose(chosen)), sweeps=False)
    return settings(compose(words))


def settings(cfg: DictConfig, hydra: Any = None) -> dict[str, Any]:
    """The finished config as plain containers: our keys plus ``choices``, the chosen option of each group; what a sweep
    says about itself, ``study``, is no part of it.

    For ``arch/addon``, which chooses many, ``choices`` has where each addon comes from. ``hydra`` is Hydra's
    own node, needed where it has been taken out of ``cfg``, as for the job of ``hydra.main``. Raises ConfigError
    for a value that refers to what is not there.
    """
    schema.register()  # jobs of a sweep may start in a process of their own
    hydra = cfg.hydra if hydra is None else hydra
    chosen = OmegaConf.to_container(hydra.runtime.choices)
    assert isinstance(chosen, dict)
    try:
        ours = {str(key): plain_value(cfg, str(key)) for key in cfg if key not in ("hydra", "study")}
    except OmegaConfBaseException as error:
        raise ConfigError(_unresolved(error)) from error
    ours |= {key: str(home(ours[key])) for key in ("run_root", "cache_dir")}
    kept = {str(k): v for k, v in chosen.items() if not str(k).startswith("hydra/") and k != "schema"}
    words = [str(word) for word in hydra.overrides.task]
    kept["arch/addon"] = addon_origins(ours["arch"].get("addons", {}), words, kept, conf_dir())
    return ours | {"choices": kept}


def _unresolved(error: OmegaConfBaseException) -> str:
    """OmegaConf's reason, without its own words for the place, after the key."""
    reason = str(error).splitlines()[0].rpartition("raised while resolving interpolation: ")[2]
    return f"{error.full_key}: {reason}" if error.full_key else reason


def plain_value(cfg: DictConfig, key: str) -> Any:
    value = cfg[key]
    if OmegaConf.is_config(value):
        return plain(value)
    return getattr(value, "name", value)


def node(group: str, option: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """One group's node with this option chosen, everything else at its default.

    ``overrides`` are further command-line words. Raises ConfigError for an unknown group or option.
    """
    option_exists(conf_dir(), group, option)
    value = plain(compose([f"{group}={option}", *overrides])[group])
    assert isinstance(value, dict)
    return value


def to_yaml(cfg: Mapping[str, Any], sort_keys: bool = False) -> str:
    """Plain settings as YAML text, as saved with a run."""
    return OmegaConf.to_yaml(OmegaConf.create(thaw(cfg)), sort_keys=sort_keys)


def read_config(path: Path) -> dict[str, Any]:
    """The composed config that a run saved, without what its machine decided, and with groups newer than the run at
    their none. Raises RunError."""
    try:
        cfg = OmegaConf.to_container(OmegaConf.load(path))
    except OSError as error:
        raise RunError(f"{path}: a run's config cannot be read here ({error.strerror or error})") from error
    except (OmegaConfBaseException, YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: the run's config cannot be read: {' '.join(str(error).split())}") from error
    if too_deep(cfg):
        raise RunError(f"{path}: the run's config is nested more than {MAX_DEPTH} levels deep")
    if not isinstance(cfg, dict) or not isinstance(cfg.get("choices"), dict):
        raise RunError(f"{path}: not the config of a run")
    for group in GROUPS:
        if group.newer and group.path not in cfg:
            cfg[group.path] = own_settings(conf_dir(), group.path, "none")
            cfg["choices"][group.path] = "none"
    return {str(key): value for key, value in cfg.items() if key != "machine"}
