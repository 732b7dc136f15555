"""Pairwise covering arrays over the options of a model, with forbidden pairs, and what may not be combined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from itertools import combinations, product
from typing import Any

import yaml

from pgolf.arch.dims import Dims
from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.helpers import BOS, VOCAB, tiny_settings

Row = dict[str, str]
Pair = frozenset[tuple[str, str]]

# Kernels that a CPU cannot train with; they have tests of their own.
NOT_ON_A_CPU = {"flex", "fa3"}
OFF, ON = "off", "on"
DIMS = Dims(VOCAB, BOS, layers=6, width=32, heads=2, kv_heads=1, mlp_hidden=64)  # of size=tiny


def techniques(group: str) -> list[str]:
    """The options of a group that name a class; those that only change another one's numbers are left out."""
    files = {o: conf_dir() / group / f"{o}.yaml" for o in options(conf_dir(), group)}
    return [o for o, file in files.items() if "_target_" in yaml.safe_load(file.read_text())]


def factors() -> dict[str, list[str]]:
    """Every choice of a baseline model: child groups with their techniques, addons on or off."""
    found = {
        f"arch/{group}": [o for o in techniques(f"arch/{group}") if o not in NOT_ON_A_CPU]
        for group in ("recurrence", "lanes", "mlp", "attention", "init")
    }
    return found | {addon: [OFF, ON] for addon in options(conf_dir(), "arch/addon")}


@cache
def forbidden() -> frozenset[Pair]:
    """The pairs that are refused, by what the techniques say of themselves; test_combine names them one by one."""
    return frozenset(_forbidden())


def _forbidden() -> Iterator[Pair]:
    addons = options(conf_dir(), "arch/addon")
    found = built(f"arch/addon=[{','.join(addons)}]")["addons"]
    specifications = {addon: found[addon] for addon in addons}
    for (a, one), (b, other) in combinations(specifications.items(), 2):
        if one.alternative is not None and one.alternative == other.alternative:
            yield frozenset({(a, ON), (b, ON)})
    for name in techniques("arch/lanes"):
        lanes = built(f"arch/lanes={name}")["lanes"]
        for addon, specification in specifications.items():
            if too_many(lanes.lanes, specification.most_lanes) or too_many(lanes.reads, specification.most_reads):
                yield frozenset({(addon, ON), ("arch/lanes", name)})
        for recurrence in techniques("arch/recurrence"):
            routes = built(f"arch/recurrence={recurrence}")["recurrence"].routes()
            try:
                lanes.check({route.name: route for route in routes}, DIMS.layers)
            except ConfigError:
                yield frozenset({("arch/recurrence", recurrence), ("arch/lanes", name)})


def too_many(found: int, most: int | None) -> bool:
    return most is not None and found > most


def built(word: str) -> dict[str, Any]:
    """Of a tiny model with ``word``: its lanes, its recurrence, its addons' specifications; no layer."""
    node = tiny_settings(word)["arch"]
    return {
        "addons": {name: make(addon) for name, addon in node["addons"].items()},
        "lanes": make(node["lanes"], dims=DIMS),
        "recurrence": make(node["recurrence"], dims=DIMS),
    }


def pairs_of(row: Mapping[str, str]) -> Iterator[Pair]:
    return (frozenset(two) for two in combinations(row.items(), 2))


def covering_rows(choices: Mapping[str, Sequence[str]], banned: Set[Pair], together: int = 2) -> list[Row]:
    """Rows, each choosing every factor, that contain every permitted pair of choices (``together=1``: every choice).

    Greedy and deterministic: each row starts from what is still wanted and takes, factor by factor, the choice
    that covers most of it without a forbidden pair.
    """
    names = list(choices)
    each = [[(name, value) for value in choices[name]] for name in names]
    wanted = {frozenset(picked) for some in combinations(each, together) for picked in product(*some)} - banned
    rows = []
    while wanted:
        seed = min(wanted, key=sorted)
        row: Row = dict(seed)
        for name in sorted(set(names) - row.keys(), key=lambda n: (-len(choices[n]), n)):
            gains = [_gain((name, value), row, wanted, banned, together) for value in choices[name]]
            row[name] = choices[name][gains.index(max(gains))]
        wanted -= {frozenset(some) for some in combinations(row.items(), together)}
        rows.append(row)
    return rows


def _gain(choice: tuple[str, str], row: Row, wanted: set[Pair], banned: Set[Pair], together: int) -> int:
    """How much of what is wanted ``choice`` would bring to the row; -1 where one of the pairs is forbidden."""
    if any(frozenset({choice, other}) in banned for other in row.items()):
        return -1
    return sum(frozenset({choice, *others}) in wanted for others in combinations(row.items(), together - 1))


def words_of(row: Mapping[str, str]) -> list[str]:
    """The row as command-line words."""
    groups = [f"{name}={value}" for name, value in row.items() if name.startswith("arch/")]
    addons = sorted(name for name, value in row.items() if value == ON)
    return [*groups, f"arch/addon=[{','.join(addons)}]"]
