"""The command line of eval.py: which words are about the artifact's evaluation, which about the text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.core.choices import expanded
from pgolf.core.command import OVERRIDES_NAME
from pgolf.core.errors import ConfigError

# What an artifact's header holds and a command line may replace; all else about the model is fixed by it.
OVERRIDABLE = ("eval", "ttt", "ngram", "mixer")
OWN = ("artifact", "out")
SEVERAL = ("-m", "--multirun")
EXPERIMENT = "experiment"  # of which the evaluation is taken, whole
FREE = ("data", "budget", "certify", "size", "device", "eval_ranks", "cache_dir", "logger")
_MAX_LABEL = 120  # of a file's name, in characters
# What lies beside the artifact of a run (``pgolf.track.folder``) and is no evaluation's to write.
_OF_A_RUN = (
    "config.yaml",
    OVERRIDES_NAME,
    "metrics.jsonl",
    "train.log",
    "console.log",
    "artifact.pgolf",
    "train_gpt.py",
    "result.json",
    "certificate.json",
    "weights.pt",
)


@dataclass(frozen=True)
class EvalWords:
    """``settings``: the composed config with the words applied. ``chosen``: groups to take from it whole.

    ``changed``: single keys ``group.key`` to lay over the header's node. ``scaled``: the keys of each group whose
    value the size gives, such as ``window``; the artifact's own numbers go before them. ``loggers``: those that the
    words ask for, by name; none unless ``logger`` is among them.
    """

    artifact: Path
    out: Path
    settings: dict[str, Any]
    chosen: tuple[str, ...]
    changed: tuple[str, ...]
    scaled: Mapping[str, tuple[str, ...]]
    loggers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def help_wanted(argv: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in argv)


def read_words(argv: Sequence[str], several: str = SEVERAL[0]) -> EvalWords:
    """Sort and check the words. ``several``: what takes more than one value of a word.

    Raises ConfigError for what eval.py does not take.
    """
    from pgolf.config.by_size import scales
    from pgolf.config.compose import compose, settings
    from pgolf.config.options import conf_dir
    from pgolf.config.preflight import preflight
    from pgolf.config.words import place
    from pgolf.core.command import encoding_problems

    unreadable = [problem for word in argv for problem in encoding_problems(word)]
    if unreadable:
        raise ConfigError(unreadable)
    own = {word.partition("=")[0]: word.partition("=")[2] for word in argv if word.partition("=")[0] in OWN}
    rest = [word for word in argv if word.partition("=")[0] not in OWN]
    if not own.get("artifact"):
        raise ConfigError("artifact: which one? python eval.py artifact=runs/<name>/seed=<n>/artifact.pgolf")
    whole = [*rest, *_beside_experiment(rest)]
    preflight(whole, conf_dir(), lambda words: settings(compose(words)), sweeps=False, several=several)
    chosen: list[str] = []
    changed: list[str] = []
    fixed: list[str] = []
    logs = False
    for word in rest:
        key = word.partition("=")[0].lstrip("+~").rpartition("@")[2]  # group@place says what stands at the place
        group = key.partition(".")[0].partition("/")[0]
        if group == EXPERIMENT:
            chosen += OVERRIDABLE
        elif group in OVERRIDABLE:
            (changed if "." in key else chosen).append(key)
        elif group == "logger":
            logs = True
        elif group not in FREE:
            fixed.append(
                f"{key}: fixed by the artifact or without meaning here; "
                f"eval.py takes {', '.join((*OWN, *FREE, *OVERRIDABLE, EXPERIMENT))}"
            )
    if fixed:
        raise ConfigError(fixed)
    cfg = compose(whole)
    scaled = {group: tuple(str(key) for key in cfg[group] if scales(cfg[group], str(key))) for group in OVERRIDABLE}
    artifact = place(own["artifact"])
    out = place(own["out"]) if own.get("out") else artifact.with_name("certificate.eval.json")
    found = settings(cfg)
    loggers = found["logger"] if logs else {}
    return EvalWords(artifact, out, found, tuple(dict.fromkeys(chosen)), tuple(changed), scaled, loggers)


def _beside_experiment(words: Sequence[str]) -> list[str]:
    """Of a whole recipe the evaluation alone is taken: its text, budget and size are as without it."""
    from pgolf.config.defaults import root_choices
    from pgolf.config.options import conf_dir

    given = {word.partition("=")[0] for word in words}
    if EXPERIMENT not in given:
        return []
    usual = root_choices(conf_dir())
    return [f"{group}={usual[group]}" for group in ("size", "budget", "data", "tokenizer") if group not in given]


def read_several(argv: Sequence[str]) -> dict[str, EvalWords]:
    """What each combination of values of a command line with ``-m`` asks for, by the words in which they differ.

    Each has a certificate of its own: ``certificate.eval.ttt=sgd.json``. Raises ConfigError as ``read_words``.
    """
    every = expanded([word for word in argv if word not in SEVERAL])
    common = set(every[0]).intersection(*every)
    found = {}
    for words in every:
        label = " ".join(word for word in words if word not in common) or "as given"
        read = read_words(words)
        if len(every) > 1:
            name = re.sub(r"[^\w.,=+-]", "_", label)[:_MAX_LABEL]
            read = replace(read, out=read.out.with_name(f"{read.out.stem}.{name}{read.out.suffix}"))
        found[label] = read
    return found


def evaluation_nodes(argv: Sequence[str], header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes that replace the header's, for a command that takes words of evaluation beside an artifact.

    Raises ConfigError.
    """
    if not argv:
        return {}
    from pgolf.config.compose import checked

    mine = (*OVERRIDABLE, EXPERIMENT)
    keys = [word.lstrip("+~").partition("=")[0].rpartition("@")[2] for word in argv]
    foreign = [word for word, key in zip(argv, keys, strict=True) if key.partition(".")[0] not in mine]
    if foreign:
        checked(foreign)  # a mistyped one is told what it may have meant
        raise ConfigError(f"{' '.join(foreign)}: fixed by the artifact; its {', '.join(OVERRIDABLE)} can be replaced")
    return _nodes(read_words(["artifact=given", *argv], "-m of eval.py"), header)


def overrides_of(words: EvalWords, header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes that replace the header's. Raises ConfigError listing everything that is wrong with the words.

    A group that is chosen whole keeps the header's value of every ``scaled`` key that both have.
    """
    from pgolf.config.check import bind_problems, budget_problems, certify_problems
    from pgolf.config.groups import group_of

    settings = words.settings
    own = [
        *budget_problems(settings["budget"]),
        *certify_problems(settings),
        *_place_problems(words.out, words.artifact),
    ]
    technique = group_of("logger")
    assert technique is not None
    for name, node in words.loggers.items():
        own += bind_problems(node, technique, f"logger.{name}")
    return _nodes(words, header, own, {"data": settings["data"]})


def _nodes(
    words: EvalWords, header: Mapping[str, Any], problems: Sequence[str] = (), others: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Raises ConfigError listing ``problems`` and what is wrong with the nodes and ``others``."""
    from pgolf.config.check import bind_problems
    from pgolf.config.groups import group_of

    settings, problems = words.settings, list(problems)
    nodes: dict[str, dict[str, Any]] = {}
    for group in words.chosen:
        theirs = header.get(group, {})
        nodes[group] = settings[group] | {key: theirs[key] for key in words.scaled[group] if key in theirs}
    for dotted in words.changed:
        name, *above, key = dotted.split(".")
        node: Any = nodes.setdefault(name, deepcopy(dict(header.get(name, {}))))
        ours: Any = settings[name]
        for part in above:
            node, ours, name = node.get(part, {}), ours.get(part, {}), f"{name}.{part}"
            if not isinstance(node, dict) or not isinstance(ours, Mapping):
                node = ours = {}
        if key not in node:
            problems.append(f"{dotted}: the artifact's {name} takes {', '.join(k for k in node if k != '_target_')}")
        elif key not in ours:
            problems.append(f"{dotted}: can be changed, not taken away")
        else:
            node[key] = ours[key]
    for name, node in (dict(others or {}) | nodes).items():
        technique = group_of(name)
        assert technique is not None
        problems += bind_problems(node, technique, name)
    if problems:
        raise ConfigError(problems)
    return {name: node for name, node in nodes.items() if node != header.get(name)}


def _place_problems(out: Path, artifact: Path) -> Iterator[str]:
    """What would keep the certificate from being written, or what it would be written over, as far as can be told
    beforehand."""
    folder = out.parent
    if not folder.is_dir():
        yield f"out: {out} cannot be written: there is no folder {folder}; choose another place with out=..."
    elif out.is_dir():
        yield f"out: {out} is a folder; name a file in it"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"out: {out} cannot be written: {folder} is read-only; choose another place with out=..."
    else:
        kept = next((f for f in (artifact, *map(artifact.with_name, _OF_A_RUN)) if _are_one(out, f)), None)
        if kept is not None:
            what = "the artifact itself" if kept == artifact else f"{kept.name} of the artifact's run"
            yield f"out: {out} is {what}, which a certificate would replace; choose another place with out=..."


def _are_one(out: Path, other: Path) -> bool:
    return out.exists() and other.exists() and out.samefile(other)
