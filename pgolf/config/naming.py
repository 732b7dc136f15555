"""Run names come from content, not from the clock (style 12)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pgolf.config.schema import CONTROL_KEYS

# Always named; the others are named only when they differ from doing nothing.
_ALWAYS = ("arch", "tokenizer", "quant")
_WHEN_ACTIVE = ("qat", "ttt", "ngram", "mixer")


def config_hash(cfg: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the composed config without seed, loggers, paths and run control."""
    content = {key: value for key, value in cfg.items() if key not in CONTROL_KEYS}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def run_name(cfg: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """A pure function of the composed config and the chosen option names.

    ``baseline+smear_gate-bpe4096-int6_rtn-laptop-3f9c21``: arch and its addons, tokenizer, quantizer, active
    training-time devices and evaluation techniques, the budget, and six digits of the content hash.
    """
    experiment = choices.get("experiment")
    arch = "+".join([str(choices["arch"]), *sorted(cfg["arch"].get("addons", {}))])
    words = [arch, *(str(choices[group]) for group in _ALWAYS[1:])]
    words += [str(choices[group]) for group in _WHEN_ACTIVE if choices.get(group, "none") != "none"]
    words += [cfg["budget"]["name"], config_hash(cfg)[:6]]
    return "-".join(([str(experiment)] if experiment else []) + words)
