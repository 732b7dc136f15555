"""Read the command line before Hydra does, and answer a misspelling with the nearest right word.

Hydra lists the options of a mistyped choose-one group, none for a choose-many one, and never guesses
(style 13). ``preflight`` looks at the files of ``conf/`` for groups and options, and at the composed
config for keys. It changes nothing and composes nothing that Hydra would not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from pgolf.config.defaults import child_choices, own_keys, root_choices
from pgolf.config.groups import GROUPS, group_of
from pgolf.config.schema import FACTS, fact_problem
from pgolf.config.words import parse, quoted, shell_word
from pgolf.core.errors import ConfigError, did_you_mean


def options(conf: Path, group: str) -> list[str]:
    """The option names of a group: the stems of its YAML files."""
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def option_exists(conf: Path, group: str, option: str) -> None:
    """Raise ConfigError unless ``conf/<group>/<option>.yaml`` exists."""
    problem = _option_problem(conf, group, option) if group_of(group) else _group_problem(group)
    if problem:
        raise ConfigError(problem)


def _group_problem(group: str) -> str:
    known = [known.path for known in GROUPS]
    return f"no config group '{group}'; the groups are {', '.join(known)}.{did_you_mean(group, known)}"


def _option_problem(conf: Path, group: str, option: str) -> str | None:
    known = options(conf, group)
    if option in known or (group == "experiment" and option in ("null", "None")):
        return None
    guess = did_you_mean(option, known)
    listing = f" Options: {', '.join(known)}." if known else " The group is empty."
    return f"{group}: no '{option}' in conf/{group}.{guess}{listing}"


def chosen_options(override: Override) -> list[str]:
    """All option names an override selects, sweeps and lists flattened."""
    value = override.value()
    if override.is_sweep_override():
        if not override.is_discrete_sweep():
            return []
        values: Iterable[Any] = override.sweep_iterator()
    else:
        values = [value]
    names: list[str] = []
    for item in values:
        text = str(item)
        names += (
            [w.strip(" '\"") for w in text.strip("[]").split(",") if w.strip(" '\"")]
            if text.startswith("[")
            else [text]
        )
    return [name.rsplit("=", 1)[-1].strip("'\"") for name in names]


def _key_problem(config: Mapping[str, Any], dotted: str, adding: bool) -> str | None:
    """None if ``dotted`` names an existing key (or, when ``adding``, an existing parent)."""
    node: Any = config
    parts = dotted.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, Mapping):
            return f"{dotted}: '{'.'.join(parts[:depth])}' is a value and has no keys"
        if part not in node:
            if adding and depth == len(parts) - 1:
                return None
            place = ".".join(parts[:depth])
            known = [str(key) for key in node if key not in ("_target_", "hydra")]
            where = place or "the top level"
            described = f"{where} takes {', '.join(known)}" if known else f"{where} has no settings as chosen"
            return f"{dotted}: {described}.{did_you_mean(part, known)}"
        node = node[part]
    return None


def preflight(
    words: Sequence[str],
    conf: Path,
    config: Callable[[list[str]], Mapping[str, Any]],
    *,
    sweeps: bool = True,
    several: str = "-m of train.py",
    swept: Sequence[str] = (),
    late: set[str] | None = None,
) -> list[Override]:
    """Check every override among the command-line ``words``.

    ``config`` gives the composed config for some words. It is called once these are known to be right, with those about
    groups; and for each option of a sweep over the group of a setting that is not there without. ``sweeps`` is False
    where a word may have one value only. ``swept``: words of a sweep file, which are taken to be right. ``late`` is
    told the settings that are there with the options of a sweep alone. Returns the parsed overrides. Raises ConfigError
    with all problems at once.
    """
    overrides = parse(words)
    problems: list[str] = list(_child_problems(conf, overrides))
    if not sweeps:
        problems += [one_value(override, several) for override in overrides if override.is_sweep_override()]
    keys: list[Override] = []
    right: list[str] = []
    several_right: list[Override] = []  # groups that are swept over
    misspelt: set[str] = set()  # roots of groups whose option is wrong
    for override in overrides:
        name = override.key_or_group
        if name.startswith("hydra") or (override.package and not group_of(name)):
            continue
        if override.is_delete() and name.partition(".")[0] in FACTS:
            problems.append(f"{name}: can be changed, not taken away")
        elif group_of(name):
            wrong = [] if override.is_delete() else _choice_problems(conf, name, override)
            problems += wrong
            if wrong:
                misspelt.add(name.partition("/")[0])
            if not wrong and not override.is_sweep_override():
                right.append(str(override.input_line))
            elif not wrong and override.is_discrete_sweep():
                several_right.append(override)
        elif "/" in name:
            problems.append(_group_problem(name))
        else:
            keys.append(override)
    if keys:
        given = {override.key_or_group for override in overrides}
        axes = [axis for axis in parse(swept) if axis.key_or_group not in given and group_of(axis.key_or_group)]
        composed = _Composed(conf, config, right, [*axes, *several_right])
        problems += _key_problems(keys, composed, misspelt)
        if late is not None:
            late |= composed.late
    if problems:
        raise ConfigError(problems)
    return overrides


def one_value(override: Override, several: str) -> str:
    """What is said of a word with several values where one is wanted; ``several``: what takes more."""
    key, _, value = str(override.input_line).partition("=")
    listed = shell_word(f"{key}=[{value}]")
    return (
        f"{key}={value}: several values are a sweep, and need {several}. "
        f"As a list: {listed}. As a text: {shell_word(f'{key}={quoted(value)}')}"
    )


_MOST_COMPOSED = 32  # combinations of a sweep, a third of a second each; the jobs compose them all


class _Composed:
    """The config of some words, and with each option of the groups that are swept over.

    ``late``: the settings that are there with these alone.
    """

    def __init__(
        self, conf: Path, config: Callable[[list[str]], Mapping[str, Any]], words: list[str], axes: Sequence[Override]
    ) -> None:
        self.conf, self.words, self.late = conf, words, set[str]()
        self.fixed = [str(axis.input_line) for axis in axes if not axis.is_sweep_override()]  # axes of one value
        self.axes = [axis for axis in axes if axis.is_discrete_sweep()]
        self._config, self._found = config, dict[tuple[str, ...], dict[str, Any]]()

    def of(self, *more: str) -> Mapping[str, Any]:
        """With more words."""
        if more not in self._found:
            self._found[more] = dict(self._config([*self.words, *more]))
            self._found[more].pop("choices", None)  # ours, for the record
        return self._found[more]

    def key_problem(self, dotted: str, adding: bool) -> str | None:
        """None if the key is there, with every option of the sweeps over its group and over experiments."""
        problem, root = _key_problem(self.of(), dotted, adding), dotted.partition(".")[0]
        choices = self._choices(root) if problem or group_of(root) else []
        if not choices:
            return self._advised(problem, dotted)
        found = [self._with(words, dotted, adding) for words in choices]
        wrong = [" ".join(words) for words, problem in zip(choices, found, strict=True) if problem]
        if wrong and len(wrong) < len(choices):
            return f"{dotted}: {', '.join(wrong)} of this sweep {'has' if len(wrong) == 1 else 'have'} no such setting"
        if problem and not wrong:
            self.late.add(dotted)
        return self._advised(found[-1], dotted)

    def _advised(self, problem: str | None, dotted: str) -> str | None:
        others = _options_with(self.conf, dotted) if problem else []
        return f"{problem} It is a setting of {' and '.join(others)}." if others else problem

    def _with(self, words: Sequence[str], dotted: str, adding: bool) -> str | None:
        try:
            return _key_problem(self.of(*self.fixed, *words), dotted, adding)
        except ConfigError:  # one job's, which tells it and stops no other
            return None

    def _choices(self, root: str) -> list[tuple[str, ...]]:
        """What jobs choose that may have a say in whether a setting is there, beside the axes of one value."""
        axes = [axis for axis in self.axes if axis.key_or_group.partition("/")[0] in (root, "experiment")]
        if not axes and not self.fixed:
            return []
        values = [[f"{axis.get_key_element()}={value}" for value in axis.sweep_string_iterator()] for axis in axes]
        return list(islice(product(*values), _MOST_COMPOSED))


def _key_problems(keys: Sequence[Override], composed: _Composed, misspelt: set[str]) -> Iterator[str]:
    for override in keys:
        key = override.key_or_group
        root = key.partition(".")[0]
        if root in misspelt:
            continue  # what it would name is not what was composed
        adding = (override.is_add() or override.is_force_add()) and root in composed.of() and root not in FACTS
        problem = composed.key_problem(key, adding)
        if problem and "." not in key:
            guess = did_you_mean(key, [group.path for group in GROUPS])
            problem = problem.split(". Did you mean")[0].rstrip(".") + "." + guess if guess else problem
        if problem:
            yield problem
        elif not override.is_delete():
            yield from _value_problems(override)


def _options_with(conf: Path, dotted: str) -> list[str]:
    """The options, ``group=option``, in whose own files a key of a group stands: they were not chosen."""
    parent, _, key = dotted.rpartition(".")
    group = parent.replace(".", "/")
    if group_of(group) is None:
        return []
    return [f"{group}={option}" for option in options(conf, group) if key in own_keys(conf, group, option)]


def _value_problems(override: Override) -> Iterator[str]:
    """Values that the schema does not take, those of a sweep included."""
    values = [override.value()]
    if override.is_sweep_override():
        values = list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    problems = (fact_problem(override.key_or_group, getattr(value, "text", value)) for value in values)
    yield from (problem for problem in problems if problem)


def _child_problems(conf: Path, overrides: Sequence[Override]) -> Iterator[str]:
    """Child groups chosen for an option that has none of that name: ``quant=none quant/scale=sdclip``.

    The parent's option is the command line's or, where no experiment could have replaced it, the default.
    """
    given = any(override.key_or_group == "experiment" for override in overrides)
    defaults = {} if given else root_choices(conf)
    chosen = {group: [option] for group, option in defaults.items() if isinstance(option, str)}
    for override in overrides:
        group = group_of(override.key_or_group)
        if group and not group.many and not override.is_delete():
            chosen[group.path] = chosen_options(override)
    for override in overrides:
        group = group_of(override.key_or_group)
        parent, _, child = override.key_or_group.rpartition("/")
        if not group or group.many or override.is_add() or not parent:
            continue
        for option in chosen.get(parent, []):
            if option in options(conf, parent) and child not in (known := list(child_choices(conf, parent, option))):
                takes = f"takes {', '.join(known)}" if known else "has no child groups"
                yield f"{override.key_or_group}: {parent}={option} {takes}.{did_you_mean(child, known)}"


def _choice_problems(conf: Path, group: str, override: Override) -> list[str]:
    found = (_option_problem(conf, group, choice) for choice in chosen_options(override))
    return [problem for problem in found if problem]
