"""``${by_size:6,6,11}``: a value for each size where it is used, so that a published model is one file (style 3).

The values stand in the order of ``SIZES``; lists, null and texts too: ``${by_size:[4,5],[4,5],[9,10]}``. The
key stays an interpolation until the config is resolved, so that words override it and ``size=record`` picks anew.
In a defaults list it chooses an option: ``override /data: ${by_size:tiny,sotu,fineweb}``.
"""

from __future__ import annotations

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pgolf.core.errors import ConfigError, did_you_mean

SIZES = ("tiny", "laptop", "record")
"""The order of the values, and the names that ``size.name`` may have: one file of ``conf/size`` each."""

_SCALED = re.compile(r"\$\{\s*(size\.|by_size:)")


def by_size(*values: Any, _root_: Any) -> Any:
    """The one of ``values`` that belongs to ``size.name``. Raises ConfigError for another number or name."""
    if len(values) != len(SIZES):
        raise ConfigError(f"by_size: {len(values)} values; one for each size is needed: {', '.join(SIZES)}")
    if isinstance(_root_.size, str):  # of a defaults list, which knows the chosen options and no node
        return values[SIZES.index(_option(_root_.size))]
    name = _root_.size.name
    if name not in SIZES:
        raise ConfigError(
            f"size.name: {name!r} has no place in by_size, whose values are for {', '.join(SIZES)}."
            f"{did_you_mean(str(name), SIZES)} A size of your own inherits one, and its name with it"
        )
    return values[SIZES.index(name)]


def _option(name: str) -> str:
    if name not in SIZES:
        raise ConfigError(
            f"size={name}: an experiment chooses data, tokenizer and budget by the sizes {', '.join(SIZES)}; with "
            "another one name them: data=… tokenizer=… budget=…"
        )
    return name


def scales(node: DictConfig, key: str) -> bool:
    """Whether the size gives the value of ``key``: it refers to ``size`` or is one of ``by_size``."""
    raw = OmegaConf.to_container(node, resolve=False)
    return isinstance(raw, dict) and bool(_SCALED.search(str(raw.get(key))))
