"""The challenge's rules as checks of a record folder: each passes, fails with the reason, or says what nobody asked."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.artifact import container
from pgolf.artifact.header import TOKENIZER
from pgolf.bundle.script import SCRIPT_NAME
from pgolf.config.compose import node
from pgolf.report.against import LEAST_SEEDS, Comparison
from pgolf.track.ledger import spent, within
from pgolf.track.textlog import parse_log

HELP_SECONDS = 300.0  # for a script to say how it is used; it imports torch
_FOLDER_NAME = re.compile(r"\d{4}-\d{2}-\d{2}_\w[\w.-]*")
_BUDGET_KEYS = (
    "cap_bytes",
    "count_tokenizer",
    "train_seconds",
    "train_steps",
    "eval_seconds",
    "subset_tokens",
    "certify",
)


@dataclass(frozen=True, slots=True)
class Check:
    """``passed`` is None where the rule was not asked about. ``status``: the exit status of a command that it fails."""

    rule: str
    passed: bool | None
    told: str
    status: int = 2

    def __str__(self) -> str:
        return f"[{ {True: 'x', False: ' ', None: '-'}[self.passed] }] {self.rule}: {self.told}"


@dataclass(frozen=True, slots=True)
class SeedFiles:
    """What a record holds of one run; ``tag``: its seed, and its rerun where it is not the first: ``1``, ``1.r2``."""

    tag: str
    result: Mapping[str, Any]
    artifact: Path
    log: Path


def checklist(
    folder: Path,
    seeds: Sequence[SeedFiles],
    cfg: Mapping[str, Any],
    left_out: Sequence[str],
    comparisons: Sequence[Comparison],
) -> list[Check]:
    """All checks of the record in ``folder``, whose files are there but README and submission. ``left_out``: finished
    runs of the same config that are not among its seeds."""
    budget = cfg["budget"]
    script = (folder / SCRIPT_NAME).read_bytes()
    return [
        _bytes(seeds, script, budget),
        _same_files(seeds, script),
        _runs_alone(folder),
        _seconds(seeds, "train_seconds", "training, calibration on training text included"),
        _seconds(seeds, "eval_seconds", "evaluation"),
        _all_seeds(seeds, "certificate: normalised, causal, score first, one pass, decoded (a, b, c, f)", "abcf"),
        _all_seeds(seeds, "bytes of the text counted by decoding it (d)", "d"),
        _sealed(seeds),
        _all_seeds(seeds, "validation was closed while the weights were made (g)", "g"),
        _whole(seeds),
        _budget(budget),
        _enough_seeds(seeds),
        Check(
            "all runs of the config are disclosed, none that ended is left out",
            not left_out,
            "left out, which would be a selection: " + ", ".join(left_out) if left_out else "none is left out",
        ),
        _logs(seeds),
        _name(folder, budget),
        _significance(comparisons),
    ]


def budget_differences(budget: Mapping[str, Any]) -> Iterator[str]:
    """In what a budget is not the shipped one of its name; that is no lie, but no score to compare with either."""
    shipped = node("budget", budget["name"])
    for name in _BUDGET_KEYS:
        if budget.get(name) != shipped.get(name):
            yield f"{name} is {budget.get(name)} here, {shipped.get(name)} in budget={budget['name']}"


def counted_bytes(artifact: bytes, script: bytes, budget: Mapping[str, Any]) -> int:
    """What counts against the cap, of the files themselves. Raises ArtifactError."""
    uncounted = 0 if budget["count_tokenizer"] else container.bytes_by_role(artifact).get(TOKENIZER, 0)
    return len(artifact) + len(script) - uncounted


def _bytes(seeds: Sequence[SeedFiles], script: bytes, budget: Mapping[str, Any]) -> Check:
    totals = {seed.tag: counted_bytes(seed.artifact.read_bytes(), script, budget) for seed in seeds}
    worst, cap = max(totals.values()), budget["cap_bytes"]
    over = [f"seed {tag} by {total - cap:,}" for tag, total in totals.items() if total > cap]
    told = f"over: {', '.join(over)}" if over else f"at most {worst:,} of {cap:,}, counted from the files"
    return Check("script and artifact are within the cap, decimal bytes", not over, told, 3)


def _same_files(seeds: Sequence[SeedFiles], script: bytes) -> Check:
    code = hashlib.sha256(script).hexdigest()
    wrong = [
        f"seed {seed.tag}: {what}"
        for seed in seeds
        for what, stated, found in (
            ("script", seed.result["artifact"]["code_sha256"], code),
            ("artifact", seed.result["artifact"]["sha256"], hashlib.sha256(seed.artifact.read_bytes()).hexdigest()),
        )
        if stated != found
    ]
    told = (
        f"not those of the result: {', '.join(wrong)}" if wrong else f"SHA-256 of one script and {len(seeds)} artifacts"
    )
    return Check("the files are those that were scored", not wrong, told)


def _enough_seeds(seeds: Sequence[SeedFiles]) -> Check:
    said = {seed.result["run"]["seed"] for seed in seeds}
    artifacts = {hashlib.sha256(seed.artifact.read_bytes()).hexdigest() for seed in seeds}
    least = min(len(said), len(artifacts))
    told = f"{len(seeds)} runs" + (f" with {len(artifacts)} artifacts" if len(artifacts) < len(said) else "")
    return Check(f"at least {LEAST_SEEDS} seeds, each with an artifact of its own", least >= LEAST_SEEDS, told)


def _runs_alone(folder: Path) -> Check:
    rule = "the script runs in this folder, with nothing of pgolf installed beside it"
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    try:
        with tempfile.TemporaryDirectory(prefix="pgolf-record-") as kernels:  # they are no part of the record
            done = subprocess.run(
                [sys.executable, "-I", SCRIPT_NAME, "--help"],
                cwd=folder,
                env=environment | {"NUMBA_CACHE_DIR": kernels},
                capture_output=True,
                text=True,
                timeout=HELP_SECONDS,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(rule, False, f"--help did not end: {error}")
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    good = done.returncode == 0 and "usage" in done.stdout.lower()
    return Check(rule, good, "--help ends with 0" if good else f"--help ended with {done.returncode}: {last}")


def _seconds(seeds: Sequence[SeedFiles], limit: str, what: str) -> Check:
    late, told = [], []
    for seed in seeds:
        result = seed.result
        took = (
            result["scores"]["final"]["seconds"]
            if limit == "eval_seconds"
            else spent({**result["ledger"], "train": result["train"]["seconds"]}, limit)
        )
        told.append(took)
        if not within(result, limit):
            late.append(f"seed {seed.tag} {took:,.1f} s")
    allowed = seeds[0].result["budget"][limit]
    text = f"of {allowed:g} s: {', '.join(late)}" if late else f"at most {max(told):,.1f} of {allowed:g} s"
    return Check(f"{what} within its time", not late, text, 3)


def _all_seeds(seeds: Sequence[SeedFiles], rule: str, letters: str) -> Check:
    failed = []
    for seed in seeds:
        probes = {probe["letter"]: probe for probe in seed.result["certificate"]["probes"]}
        for letter in letters:
            if letter not in probes:
                failed.append(f"seed {seed.tag}: ({letter}) was not asked")
            elif not probes[letter]["passed"]:
                failed.append(f"seed {seed.tag}: ({letter}) {probes[letter]['message']}")
    return Check(rule, not failed, "; ".join(failed) if failed else "passed for every seed", 4)


def _sealed(seeds: Sequence[SeedFiles]) -> Check:
    rule = "evaluation had script and artifact and nothing else: no training text, no network (e)"
    probe = _all_seeds(seeds, rule, "e")
    by_hook = [seed.tag for seed in seeds if "audit hook" in seed.result["certificate"]["isolation"]]
    if probe.passed and by_hook:
        return Check(rule, False, f"no kernel kept it to that: seed {', '.join(by_hook)} (audit hook only)", 4)
    isolations = sorted({seed.result["certificate"]["isolation"] for seed in seeds})
    return Check(rule, probe.passed, probe.told if not probe.passed else "; ".join(isolations), 4)


def _whole(seeds: Sequence[SeedFiles]) -> Check:
    partly = [
        seed.tag
        for seed in seeds
        if seed.result["scores"]["final"]["subset"] or seed.result["scores"]["final"]["split"] != "val"
    ]
    told = f"not seed {', '.join(partly)}" if partly else f"{seeds[0].result['scores']['final']['tokens']:,} tokens"
    return Check("all of validation is scored", not partly, told, 4)


def _budget(budget: Mapping[str, Any]) -> Check:
    changed = list(budget_differences(budget))
    return Check(f"the budget is {budget['name']} as shipped", not changed, "; ".join(changed) or "unchanged", 3)


def _logs(seeds: Iterable[SeedFiles]) -> Check:
    """Logs are the runs' own: seed, size and score, in both units, in them are those of the results."""
    stale = []
    for seed in seeds:
        if not seed.log.is_file():
            stale.append(f"seed {seed.tag}: no log")
            continue
        records = parse_log(seed.log.read_text(encoding="utf-8", errors="replace"))
        final = seed.result["scores"]["final"]
        stated = {
            "seed": ({record.facts["seed"] for record in records if record.kind == "seed"}, seed.result["run"]["seed"]),
            "bytes": (
                {record.facts["bytes"] for record in records if record.kind == "submission_size"},
                seed.result["artifact"]["bytes_total"],
            ),
            **{
                f"final {name}": (
                    {record.facts[name] for record in records[-1:] if record.kind == "final_exact"},
                    round(final[name], 8),
                )
                for name in ("val_bpb", "val_loss")
            },
        }
        stale += [
            f"seed {seed.tag}: {name}: the log has {', '.join(map(str, sorted(found))) or 'none'}, the result {wanted}"
            for name, (found, wanted) in stated.items()
            if found != {wanted}
        ]
    return Check("the logs are those of the results", not stale, "; ".join(stale) or "seed, bytes and score agree")


def _name(folder: Path, budget: Mapping[str, Any]) -> Check:
    if budget["name"] != "official":
        return Check("the folder is named YYYY-MM-DD_Short_Name", None, "asked for under budget=official")
    good = _FOLDER_NAME.fullmatch(folder.resolve().name) is not None
    return Check("the folder is named YYYY-MM-DD_Short_Name", good, folder.resolve().name)


def _significance(comparisons: Sequence[Comparison]) -> Check:
    rule = "0.005 nats per token better than the record, p < 0.01"
    if not comparisons:
        return Check(rule, None, "not tested: no --against")
    told = "; ".join(one.sentence for one in comparisons)
    return Check(rule, all(one.verdict == "a record by the rule" for one in comparisons), told, 0)
