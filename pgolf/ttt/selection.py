"""Which parameters adapt, as words; every technique that trains weights takes them. No option.

A list of words means all parameters that any of them names, less those named by a word after ``no_``:

| word | parameters |
|---|---|
| ``all`` | all |
| ``matrix``, ``embedding``, ``head``, ``scalar`` | of an optimizer group (a tied head is the embedding) |
| ``attention``, ``mlp``, ``bigram``, … | of a component |
| ``q``, ``up``, ``table``, ``q_gain``, … | of a kind, in any component |
| ``first_2``, ``last_2`` | of the first or last two layers: matrices, and what their visits alone have |
| ``repeats`` | that only repeated visits of a layer have |
| ``scales`` | the published "scale": of sublayers, of bigram and value embeddings |

A dot joins words that must all hold: ``q.last_1``. Groups, components, kinds and layers are what the model itself says
of its parameters (``ParamSpec``), never parts of their names.

The published ``TTT_FREEZE_BLOCKS = n`` means ``[all, no_first_n]`` in #461 and ``[last_n, scales]`` from #606 on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from pgolf.core.errors import ConfigError, did_you_mean
from pgolf.core.results import ParamSpec

PLACE = "ttt.trains"
SCALES = ("mixer_scale", "mlp_scale", "scale", "place_scales")  # kinds
_LAYERS = re.compile(r"(first|last)_(\d+)")


def selected(specs: Mapping[str, ParamSpec], words: Sequence[str]) -> list[str]:
    """The names of the parameters that ``words`` select, in the order of ``specs``.

    Raises ConfigError for a word that names nothing, and where nothing is left.
    """
    wanted: set[str] = set()
    unwanted: set[str] = set()
    for word in words:
        (unwanted if word.startswith("no_") else wanted).update(_named(specs, word))
    found = [name for name in specs if name in wanted - unwanted]
    if not found:
        raise ConfigError(f"{PLACE}: [{', '.join(words)}] selects no parameter")
    return found


def _named(specs: Mapping[str, ParamSpec], word: str) -> set[str]:
    tests = [_test(specs, term, word) for term in word.removeprefix("no_").split(".")]
    found = {name for name, spec in specs.items() if all(test(spec) for test in tests)}
    if not found:
        raise ConfigError(f"{PLACE}: {word!r} names no parameter of this model; {_choices(specs)}")
    return found


def _test(specs: Mapping[str, ParamSpec], term: str, word: str) -> Callable[[ParamSpec], bool]:
    """What ``term``, one of those that make ``word``, asks of a parameter."""
    if term == "all":
        return lambda spec: True
    if term == "repeats":
        return lambda spec: spec.repeat
    if term == "scales":
        return lambda spec: spec.kind in SCALES
    layers = _LAYERS.fullmatch(term)
    if layers is not None:
        number, count = int(layers[2]), _layers(specs)
        if not 1 <= number <= count:
            raise ConfigError(f"{PLACE}: {word!r}: the model has {count} layers")
        chosen = range(number) if layers[1] == "first" else range(count - number, count)
        return lambda spec: spec.layer in chosen
    if term not in _names(specs):
        near = did_you_mean(term, _names(specs))
        raise ConfigError(f"{PLACE}: {word!r}: this model has no {term!r}; {_choices(specs)}.{near}")
    return lambda spec: term in (_group(spec), spec.component, spec.kind)


def _group(spec: ParamSpec) -> str:
    return "scalar" if spec.group == "scalar_no_decay" else spec.group


def _layers(specs: Mapping[str, ParamSpec]) -> int:
    return 1 + max((spec.layer for spec in specs.values() if spec.layer is not None), default=-1)


def _names(specs: Mapping[str, ParamSpec]) -> list[str]:
    return sorted({name for spec in specs.values() for name in (_group(spec), spec.component, spec.kind)})


def _choices(specs: Mapping[str, ParamSpec]) -> str:
    words = ["all", *_names(specs), "first_<n>, last_<n> (layers)"]
    words += [word for word in ("repeats", "scales") if any(_test(specs, word, word)(s) for s in specs.values())]
    return f"there are {', '.join(words)}; no_<word> takes away, a dot joins"
