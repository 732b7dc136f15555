"""Whether a saved config is what its ``choices`` say: names are for readers, and what is judged are the nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgolf.config.defaults import own_settings
from pgolf.config.groups import group_of, node_at

# Of an option of ``data``: where its text lies here, and what of it is training or dev text. The rest names a corpus.
_BESIDE = ("path", "paths", "train_shards", "dev_tokens", "dev_documents", "overlap_tolerance")


def choice_problems(cfg: Mapping[str, Any], conf: Path) -> Iterator[str]:
    """Options that are named in ``choices`` and of which another node is there.

    What this version has no option for, nobody can say anything of; but for data, which a score is of.
    """
    for path, option in cfg["choices"].items():
        group = group_of(str(path))
        if group is None or group.many or group.path == "experiment" or not str(option).isidentifier():
            continue
        key = "name" if group.facts else "_target_"
        named = own_settings(conf, group.path, option).get(key)
        found = node_at(cfg, f"{group.key}.{key}")
        if named is not None and found != named:
            yield f"choices.{path}: {option} is chosen by name, whose {key} is {named}; the config has {found}"
    label = data_label(cfg, conf)
    if label != cfg["choices"].get("data"):
        yield f"choices.data: {cfg['choices'].get('data')} is chosen by name; the config has {label or 'no data'}"


def data_label(cfg: Mapping[str, Any], conf: Path) -> str:
    """What the text of a config is called: its option of ``data``, if the node is that option's, with what is set
    otherwise. The node's own class where it is another's; empty without a node."""
    option, node = str(cfg["choices"].get("data") or ""), cfg.get("data")
    if not isinstance(node, Mapping) or not node:
        return ""
    own = own_settings(conf, "data", option) if option.isidentifier() else {}
    if not own or node.get("_target_") != own.get("_target_"):
        return str(node.get("_target_"))
    apart = [
        f"data.{key}={node[key]}"
        for key, value in own.items()
        if key in node and key not in _BESIDE and node[key] != value
    ]
    return " ".join([*apart, f"of {option}"]) if apart else option
