"""The command line of eval.py: which words are about the artifact's evaluation, which about the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.core.errors import ConfigError

# What an artifact's header holds and a command line may replace; all else about the model is fixed by it.
OVERRIDABLE = ("eval", "ttt", "ngram", "mixer")
OWN = ("artifact", "out")
FREE = ("data", "budget", "size", "device", "cache_dir")


@dataclass(frozen=True)
class EvalWords:
    """``settings``: the composed config with the words applied. ``chosen``: groups to take from it whole.
    ``changed``: single keys ``group.key`` to lay over the header's node."""

    artifact: Path
    out: Path | None
    settings: dict[str, Any]
    chosen: tuple[str, ...]
    changed: tuple[str, ...]


def help_wanted(argv: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in argv)


def read_words(argv: Sequence[str]) -> EvalWords:
    """Sort and check the words. Raises ConfigError for what eval.py does not take."""
    from pgolf.config import schema
    from pgolf.config.compose import compose, conf_dir, settings
    from pgolf.config.preflight import preflight

    schema.register()
    own = {word.partition("=")[0]: word.partition("=")[2] for word in argv if word.partition("=")[0] in OWN}
    rest = [word for word in argv if word.partition("=")[0] not in OWN]
    if not own.get("artifact"):
        raise ConfigError("artifact: which one? python eval.py artifact=runs/<name>/seed=<n>/artifact.pgolf")
    preflight(rest, conf_dir(), lambda words: settings(compose(words)))
    chosen: list[str] = []
    changed: list[str] = []
    fixed: list[str] = []
    for word in rest:
        key = word.partition("=")[0].lstrip("+~")
        group = key.partition(".")[0].partition("/")[0]
        if group in OVERRIDABLE:
            (changed if "." in key else chosen).append(key)
        elif group not in FREE:
            fixed.append(
                f"{key}: fixed by the artifact or without meaning here; eval.py takes {', '.join((*OWN, *FREE, *OVERRIDABLE))}"
            )
    if fixed:
        raise ConfigError(fixed)
    return EvalWords(
        Path(own["artifact"]),
        Path(own["out"]) if own.get("out") else None,
        settings(compose(rest)),
        tuple(chosen),
        tuple(changed),
    )
