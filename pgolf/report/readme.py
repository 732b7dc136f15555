"""README.md of a record folder: what it is, its seeds, its checks, how to run it, where its techniques come from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pgolf
from pgolf.bundle.script import SCRIPT_NAME
from pgolf.report.against import Comparison
from pgolf.report.checklist import Check, SeedFiles
from pgolf.report.entry import ReportedRun
from pgolf.report.experiments import Experiment
from pgolf.report.gather import Problem
from pgolf.report.seeds import not_counted, seed_table
from pgolf.report.table import Table

_SOURCE = re.compile(r"#\d{1,5}\b|arXiv[: ]\d{4}\.\d{4,5}|https?://\S+[\w/]")


def readme(
    name: str,
    blurb: str,
    author: str,
    one: Experiment,
    disclosed: Sequence[ReportedRun],
    unread: Sequence[Problem],
    seeds: Sequence[SeedFiles],
    cfg: Mapping[str, Any],
    command: str,
    data_words: str,
    checks: Sequence[Check],
    comparisons: Sequence[Comparison],
    tables: Sequence[Table],
) -> str:
    """``tables``: ablations and tests, as they are to stand there. ``data_words``: what the script must be told of its
    data, empty where it brings it."""
    assert one.bpb is not None
    std = "" if one.bpb.std is None else f" ± {one.bpb.std:.5f} (n−1)"
    failed = [check for check in checks if check.passed is False]
    verdict = (
        f"{len(failed)} of {len(checks)} checks fail" if failed else f"all {len(checks)} checks pass or were not asked"
    )
    lines = [f"# {name}", "", blurb, ""]
    lines += [f"**{one.bpb.mean:.5f}{std} bits per byte** over {one.bpb.n} seeds; {verdict}.", ""]
    lines += seed_table(one).markdown()
    own = {run.identity for run in one.counted}
    left_out = [
        run if run.excluded else run.without("left out") for run in disclosed if run.excluded or run.identity not in own
    ]
    left = not_counted(left_out, unread)
    if left is not None:
        lines += left.markdown()
    lines += ["### Checks", "", *(f"- {check}" for check in checks), ""]
    for table in tables:
        lines += table.markdown()
    lines += [line for comparison in comparisons for line in (f"**{comparison.sentence}**", "")]
    lines += _how(seeds, cfg, command, data_words)
    lines += _sources(cfg)
    if author:
        lines += ["### Author", "", author, ""]
    return "\n".join(_without_double_blanks(lines)).strip() + "\n"


def _how(seeds: Sequence[SeedFiles], cfg: Mapping[str, Any], command: str, data_words: str) -> list[str]:
    first = seeds[0]
    machine = cfg.get("machine") or {}
    return [
        "### Run it",
        "",
        "```",
        "pip install -r requirements.txt",
        f"python {SCRIPT_NAME}{data_words} --seed {first.result['run']['seed']}   # trains, packs, scores",
        f"python {SCRIPT_NAME} {first.artifact.name}{data_words}   # scores this artifact on validation",
        f"{command} seed={first.result['run']['seed']}   # with pgolf",
        "pgolf verify .   # every seed: bytes counted, scored, audited again",
        "```",
        "",
        f"Measured on {machine.get('hardware', 'an unknown machine')}, torch {machine.get('torch', '?')}.",
        "",
    ]


def _sources(cfg: Mapping[str, Any]) -> list[str]:
    """Where the chosen techniques say that they come from, in the words of their own docstrings."""
    chosen = sorted({module for module in _targets(cfg) if not module.endswith(".none")})
    found = {module: sources for module in chosen if (sources := _cited(module))}
    if not found:
        return []
    rows = [f"- {module.removeprefix('pgolf.')}: {', '.join(sources)}" for module, sources in found.items()]
    return ["### Sources", "", *rows, ""]


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"].rpartition(".")[0]
        for child in node.values():
            yield from _targets(child)
    elif isinstance(node, list):
        for child in node:
            yield from _targets(child)


def _cited(module: str) -> list[str]:
    path = Path(pgolf.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    nodes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef))]
    text = "\n".join(ast.get_docstring(node) or "" for node in nodes)
    return list(dict.fromkeys(_SOURCE.findall(text)))


def _without_double_blanks(lines: Sequence[str]) -> Iterator[str]:
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line
