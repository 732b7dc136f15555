"""Where each addon of a composed config comes from; Hydra's choices leave groups that choose many out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pgolf.config.preflight import chosen_options
from pgolf.config.words import parse

COMMAND_LINE = "the command line"


def addon_origins(
    addons: Iterable[str], words: Sequence[str], choices: Mapping[str, Any], conf: Path
) -> dict[str, str]:
    """For each addon ``the command line``, ``experiment=<name>`` or ``arch=<preset>``.

    ``words`` are the command line's overrides, ``choices`` the options chosen of the other groups.
    """
    typed, experiment = _typed(words), choices.get("experiment")
    listed = _listed(conf / "experiment" / f"{experiment}.yaml") if experiment else set()

    def origin(addon: str) -> str:
        if addon in typed:
            return COMMAND_LINE
        return f"experiment={experiment}" if addon in listed else f"arch={choices.get('arch')}"

    return {addon: origin(addon) for addon in addons}


def _typed(words: Sequence[str]) -> set[str]:
    """The addons that ``arch/addon=[…]`` or ``+arch.addons.…`` of the command line name."""
    found: set[str] = set()
    for override in parse(words):
        parts = override.key_or_group.split(".")
        if override.key_or_group == "arch/addon":
            found.update(chosen_options(override))
        elif parts[:2] == ["arch", "addons"] and len(parts) > 2 and override.is_add():
            found.add(parts[2])
    return found


def _listed(experiment: Path) -> set[str]:
    """The addons that an experiment's file names: ``override /arch/addon: […]`` or ``/arch/addon/<name>``."""
    content = yaml.safe_load(experiment.read_text()) or {}
    found: set[str] = set()
    for entry in content.get("defaults", []):
        pairs = entry.items() if isinstance(entry, dict) else [entry.rsplit("/", 1)]
        for group, *options in pairs:
            if group.removeprefix("override ").strip("/") == "arch/addon":
                found.update(*(o if isinstance(o, list) else [o] for o in options))
    return found
