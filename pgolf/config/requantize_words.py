"""The command line of ``pgolf requantize``: a finished run's config with other words for what comes after training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from pgolf.config.compose import compose, read_config, settings
from pgolf.config.content import STEERING
from pgolf.config.defaults import experiment_choices
from pgolf.config.eval_words import EXPERIMENT, OVERRIDABLE
from pgolf.config.groups import group_of
from pgolf.config.options import conf_dir
from pgolf.config.preflight import options, preflight
from pgolf.config.readonly import read_only, thaw
from pgolf.config.schema import register, with_defaults
from pgolf.core.command import read_overrides
from pgolf.core.errors import ConfigError, RunError

# What can be chosen anew once the weights are there, and what says where and how the new run is written.
GROUPS = ("quant", "compressor", "eval", "ttt", "ngram", "mixer")
_MEANINGLESS = (
    "parent_run",
    "print_model",
    "resume",
    "dry_run",
)  # the parent is the folder; nothing is trained
FREE = ("device", "logger", *(key for key in STEERING if key not in _MEANINGLESS))


Job = tuple[Mapping[str, Any], list[str]]
"""The composed config of a new run, and the words it came from."""


def read_words(run: Path, words: Sequence[str]) -> list[Job]:
    """The runs that ``words`` ask for; commas sweep, as with train.py.

    Raises ConfigError listing everything wrong with the words, RunError for a folder that holds no run.
    """
    register()
    parent = read_config(run / "config.yaml")
    theirs = _their_words(run)
    words = [one for word in words for one in _unfolded(word)]
    overrides = preflight(words, conf_dir(), lambda groups: settings(compose([*_kept(theirs, groups), *groups])))
    problems = [problem for override in overrides for problem in _problems(override)]
    if problems:
        raise ConfigError(problems)
    jobs: list[Job] = []
    for ours in itertools.product(*(_choices(override) for override in overrides)):
        effective = [*_kept(theirs, ours), *ours]
        composed = settings(compose(effective))
        if composed["stop_after"] == "prequant":
            raise ConfigError("stop_after: nothing is trained here that could be scored before quantization; dev")
        jobs.append((read_only(_merged(parent, composed, ours, run)), effective))
    return jobs


def _their_words(run: Path) -> list[str]:
    try:
        return read_overrides(run)
    except ValueError as error:
        raise RunError(f"{run / 'overrides'}: the run's words cannot be read ({error})") from error
    except OSError as error:
        raise RunError(f"{run}: no run folder; its words cannot be read ({error.strerror or error})") from error


def _unfolded(word: str) -> list[str]:
    """Of an experiment its evaluation, group by group; any other word as it is."""
    key, _, name = word.partition("=")
    if key != EXPERIMENT or name not in options(conf_dir(), EXPERIMENT):
        return [word]
    chosen = experiment_choices(conf_dir(), name)
    return [f"{group}={chosen[group]}" for group in OVERRIDABLE if group in chosen]


def _problems(override: Override) -> Iterator[str]:
    key = override.key_or_group
    if key == EXPERIMENT:
        yield f"{key}: one at a time, and its evaluation is taken: {key}=pr1026_valid"
    elif _root(key) not in (*GROUPS, *FREE):
        yield (
            f"{key}: fixed by the run, whose weights are trained; pgolf requantize takes "
            f"{', '.join((*GROUPS, EXPERIMENT, *FREE))}"
        )
    elif override.is_delete() or override.is_add() or override.is_force_add():
        yield f"{key}: can be changed, not added or taken away"
    elif override.is_sweep_override() and not override.is_discrete_sweep():
        yield f"{key}: only lists can be swept, such as {key}=a,b"


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]


def _kept(theirs: Sequence[str], ours: Sequence[str]) -> list[str]:
    """The run's words less those that steered it and those about groups that are chosen anew."""
    anew = [*STEERING, *(_dotted(word) for word in ours if group_of(word.partition("=")[0]))]
    return [word for word in theirs if not any(_lies_in(_dotted(word), key) for key in anew)]


def _dotted(word: str) -> str:
    return word.partition("=")[0].lstrip("+~").replace("/", ".")


def _lies_in(key: str, group: str) -> bool:
    return key == group or key.startswith(f"{group}.")


def _root(key: str) -> str:
    return key.partition(".")[0].partition("/")[0]


def _merged(parent: Mapping[str, Any], composed: Mapping[str, Any], words: Sequence[str], run: Path) -> dict[str, Any]:
    """The run's own config; only what ``words`` name is taken from the composed one, which may have moved on."""
    cfg = thaw(with_defaults(parent))
    cfg |= {key: composed[key] for key in STEERING if key in composed and key != "cache_dir"}
    cfg |= {"run_root": str(run.parent.parent), "parent_run": f"{run.parent.name}/{run.name}"}
    for word in words:
        key = word.partition("=")[0]
        path = _dotted(key).split(".")
        node, theirs = cfg, thaw(composed)
        for part in path[:-1]:
            node, theirs = node.get(part), theirs[part]
            if not isinstance(node, dict):
                raise ConfigError(f"{key}: the run's {_root(key)} has no '{part}'; choose {_root(key)}=... whole")
        node[path[-1]] = theirs[path[-1]]
        if group_of(key):
            others = {n: c for n, c in cfg["choices"].items() if not _lies_in(_dotted(n), _dotted(key))}
            ours = {n: c for n, c in composed["choices"].items() if _lies_in(_dotted(n), _dotted(key))}
            cfg["choices"] = others | ours
    return cfg
