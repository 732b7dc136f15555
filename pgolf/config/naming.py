"""Run names come from content, not from the clock (style 12)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pgolf.config.content import STEERING_HOOKS, content
from pgolf.config.defaults import child_choices, experiment_choices, root_choices
from pgolf.config.groups import GROUPS, Group, node_at
from pgolf.config.options import conf_dir

# Named always and in this order; every other group, between quantizer and budget, where it is not the default.
_FIRST, _LAST = ("arch", "tokenizer", "quant"), "budget"
_OF_ITS_TEXT = "tokenizer"  # named in recipes too
_UNNAMED = ("experiment", "logger")  # stands in front; steers
MAX_LENGTH = 120  # of a name, in characters of one byte; file systems take 255
_MAX_WORD = 40


def config_hash(cfg: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of what the run reads of the composed config: see ``pgolf.config.content``. 1 and 1.0 are one."""
    return hashlib.sha256(json.dumps(_numbers(content(cfg)), sort_keys=True, default=str).encode()).hexdigest()


def _numbers(value: Any) -> Any:
    """``value`` with every whole number as an int: a command line and a file may write one number in two ways."""
    if isinstance(value, Mapping):
        return {key: _numbers(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def run_name(cfg: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """A pure function of the composed config, the chosen option names and the defaults of ``conf/``.

    ``baseline+p4+smear_gate-bpe4096-int6_rtn-brotli-laptop-3f9c21``: arch, tokenizer and quantizer, each with its
    parts that are not its own, every other group that is not as by default, the budget, and six digits of the
    content's hash. What is taken away reads ``no_…``. Of a whole recipe the name stands for what is its own:
    ``pr1204-bpe4096-laptop-9c21aa``. A valid file name of at most ``MAX_LENGTH`` characters.
    """
    conf = conf_dir()
    own = _of_recipe(conf, choices)
    default = root_choices(conf) | own
    groups = [group for group in GROUPS if "/" not in group.path and group.path not in (*_FIRST, *_UNNAMED, _LAST)]
    words = [_word(str(choices["experiment"]))] if choices.get("experiment") else []
    for path in _FIRST:
        word = _with_parts(conf, path, cfg, choices, own)
        words += [word] if path == _OF_ITS_TEXT or word != _named(path, str(own.get(path))) else []
    words += filter(None, (_if_not_default(conf, group, cfg, choices, default) for group in groups))
    end = f"-{_word(str(choices[_LAST]))}-{config_hash(cfg)[:6]}"
    if len("-".join(words) + end) > MAX_LENGTH:
        words = [_abridged(word) for word in words]
    return "-".join(words)[: MAX_LENGTH - len(end)].rstrip("-+") + end


def run_label(cfg: Mapping[str, Any]) -> str:
    """``name/seed=1``, as the run's folder is called."""
    return f"{run_name(cfg, cfg['choices'])}/seed={cfg['seed']}"


def _of_recipe(conf: Path, choices: Mapping[str, Any]) -> dict[str, Any]:
    """What the experiment chooses, at its size, if it is a whole recipe: one that chooses that size too."""
    found = experiment_choices(conf, str(choices.get("experiment")))
    if "size" not in found:
        return {}
    try:
        at_size = OmegaConf.create({"size": str(choices["size"]), "found": found})
        resolved = OmegaConf.to_container(at_size.found, resolve=True)
    except OmegaConfBaseException:  # a size of the user's own, for which the command line chooses
        resolved = found
    assert isinstance(resolved, dict)
    return {str(group): option for group, option in resolved.items() if group != "size"}


def _with_parts(
    conf: Path, path: str, cfg: Mapping[str, Any], choices: Mapping[str, Any], of_recipe: Mapping[str, Any]
) -> str:
    """An option and those of its children that are neither its file's nor the recipe's: ``baseline+p4+smear_gate``."""
    option = str(choices[path])
    own = child_choices(conf, path, option)
    children = [group for group in GROUPS if group.path.rpartition("/")[0] == path]
    own_of_children = {group.path: own.get(group.path.rpartition("/")[2], []) for group in children}
    own_of_children |= {path: part for path, part in of_recipe.items() if path in own_of_children}
    parts = (_difference(group, cfg, choices, own_of_children) for group in children)
    return "+".join([_named(path, option), *filter(None, parts)])


def _if_not_default(
    conf: Path, group: Group, cfg: Mapping[str, Any], choices: Mapping[str, Any], default: Mapping[str, Any]
) -> str:
    """The word of ``group`` with its parts where it, or one of them, is not the default; else an empty text."""
    difference = _difference(group, cfg, choices, default)
    if group.many or not any(other.path.startswith(f"{group.path}/") for other in GROUPS):
        return difference
    parts = _with_parts(conf, group.path, cfg, choices, default)
    return parts if difference or "+" in parts else ""


def _difference(group: Group, cfg: Mapping[str, Any], choices: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """The word of ``group`` where its option is not the default, else an empty text."""
    usual = default.get(group.path)
    if group.many:
        steering = STEERING_HOOKS if group.path == "hook" else ()
        chosen, normal = (
            [name for name in names if name not in steering] for names in (_chosen_many(group, cfg), usual or [])
        )
        return "+".join(_more_and_less(chosen, normal, group))
    option = choices.get(group.path)
    return _named(group.path, str(option)) if option and option != usual else ""


def _chosen_many(group: Group, cfg: Mapping[str, Any]) -> list[str]:
    return sorted(node_at(cfg, group.key) or {})


def _more_and_less(chosen: list[str], usual: list[str], group: Group) -> Iterator[str]:
    yield from (_word(name) for name in chosen if name not in usual)
    yield from (f"no_{_word(name)}" for name in sorted(usual) if name not in chosen)


def _named(path: str, option: str) -> str:
    return f"no_{path.rpartition('/')[2]}" if option == "none" else _word(option)


def _abridged(word: str) -> str:
    first, *parts = word.split("+")
    return f"{first}+{len(parts)}_parts" if len(parts) > 1 else word


def _word(option: str) -> str:
    """``option`` in characters that every file system and Hydra take unquoted."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", option)[:_MAX_WORD].lstrip(".") or "_"
