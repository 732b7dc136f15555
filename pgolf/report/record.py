"""``pgolf record``: runs of one config as a folder that can be handed in, and checked by whoever gets it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgolf.bundle.folder import ARTIFACT_NAME, require_empty, requirements
from pgolf.bundle.script import SCRIPT_NAME, opened
from pgolf.config.compose import to_yaml
from pgolf.config.content import STEERING
from pgolf.config.saved import read_saved
from pgolf.config.schema import with_defaults
from pgolf.core.atomic import write_bytes_atomic, write_text_atomic
from pgolf.core.command import read_overrides
from pgolf.core.errors import ConfigError, RunError
from pgolf.core.json_text import read_json
from pgolf.report.against import Reference, compared
from pgolf.report.checklist import Check, SeedFiles, checklist
from pgolf.report.entry import Fields, ReportedRun
from pgolf.report.experiments import Experiment, experiments
from pgolf.report.gather import CONFIG_NAME, Gathered, Problem, gather
from pgolf.report.readme import readme
from pgolf.report.schema import problems_of
from pgolf.report.stated import About, seed_row, submission_of
from pgolf.report.submission import SUBMISSION_NAME
from pgolf.report.table import Table
from pgolf.track.jsonable import to_json
from pgolf.track.result import RESULT_NAME, read_result


def write_record(
    runs: Sequence[Path],
    out: Path,
    about: About,
    references: Sequence[Reference] = (),
    ablations: Sequence[Table] = (),
) -> list[Check]:
    """Write the record of ``runs`` into the new folder ``out``; returns the checks, all of which README states too.

    Raises RunError where the runs are not of one config and one script, or none of them counts.
    """
    found = gather(runs)
    one = _one(found)
    counted = one.counted
    script = _script(counted)
    cfg = read_saved(counted[0].source / CONFIG_NAME)
    siblings = _siblings(one)
    comparisons = [compared(one, reference) for reference in references]
    require_empty(out)
    write_bytes_atomic(out / SCRIPT_NAME, script)
    bundle = opened(script)
    write_text_atomic(out / "requirements.txt", "".join(f"{line}\n" for line in requirements(bundle.sources)))
    command = _command(counted[0], cfg)
    seeds = [_write_seed(out, run, command) for run in counted]
    shared = {key: value for key, value in cfg.items() if key not in STEERING or key == "certify"}
    neutral = {
        key: value for key, value in with_defaults({}).items() if key in STEERING
    }  # where it was kept is nobody's
    write_text_atomic(out / CONFIG_NAME, to_yaml(neutral | shared))
    left_out = [run.label for run in siblings if not run.excluded]
    checks = checklist(out, seeds, cfg, left_out, comparisons)
    disclosed = [_at_home(run) for run in (*one.runs, *siblings)]
    problems_at_home = [Problem(_named(problem.path), _homeless(problem.reason)) for problem in found.problems]
    submission = submission_of(about, one, seeds, cfg, checks, comparisons, disclosed, problems_at_home)
    problems = problems_of(submission)
    assert not problems, problems
    write_text_atomic(out / SUBMISSION_NAME, to_json(submission, indent=2) + "\n")
    tables = [*ablations, *(comparison.table for comparison in comparisons)]
    data_words = " --data DIR" if bundle.config.get("data", {}) is None else ""
    own = (about.name, about.blurb, about.author)
    text = readme(*own, one, disclosed, problems_at_home, seeds, cfg, command, data_words, checks, comparisons, tables)
    write_text_atomic(out / "README.md", text)
    return checks


def record_runs(record: Path, into: Path) -> dict[str, Path]:
    """The runs of a record as run folders below ``into``, by tag. Raises RunError for a folder that is not whole."""
    submission = read_json(record / SUBMISSION_NAME, RunError)
    problems = problems_of(submission)
    if problems:
        raise RunError("\n".join(f"{record / SUBMISSION_NAME}: {problem}" for problem in problems))
    folders = {}
    for tag in submission["seed_results"]:
        if not tag.replace(".r", "").isdecimal():
            raise RunError(f"{record / SUBMISSION_NAME}: seed_results: {tag!r} is no seed")
        folder = into / f"seed={tag}"
        folder.mkdir(parents=True)
        for name, source in (
            (RESULT_NAME, f"result_seed{tag}.json"),
            (ARTIFACT_NAME, f"artifact_seed{tag}.pgolf"),
            (SCRIPT_NAME, SCRIPT_NAME),
            (CONFIG_NAME, CONFIG_NAME),
        ):
            try:
                shutil.copyfile(record / source, folder / name)
            except OSError as error:
                raise RunError(f"{record / source}: {error.strerror or error}; a record holds it") from error
        folders[tag] = folder
    return folders


def record_problems(record: Path) -> list[str]:
    """Where a record's submission.json says other numbers than the results beside it."""
    submission = read_json(record / SUBMISSION_NAME, RunError)
    found = []
    for tag, row in submission["seed_results"].items():
        result = read_result(record / f"result_seed{tag}.json")
        for name, value in seed_row(result).items():
            if row[name] != value:
                found.append(f"{SUBMISSION_NAME}: seed {tag}: {name} {row[name]} is stated, {value} is in its result")
    return found


def is_record(folder: Path) -> bool:
    return (folder / SUBMISSION_NAME).is_file() and not (folder / RESULT_NAME).exists()


def _one(found: Gathered) -> Experiment:
    """The one experiment. Raises RunError."""
    made = experiments(found.entries)
    with_scores = [one for one in made if one.counted]
    why = [f"{run.source}: {run.excluded}" for one in made for run in one.runs if run.excluded]
    why += [f"{problem.path}: {problem.reason}" for problem in found.problems]
    if not with_scores:
        raise RunError("\n".join(["no run has a score that counts", *why]))
    if len(made) > 1:
        raise RunError(f"runs of {len(made)} configs: {', '.join(one.name for one in made)}; a record is of one")
    (one,) = made
    if one.refusal:
        raise RunError(one.refusal)
    return one


def _script(runs: Sequence[ReportedRun]) -> bytes:
    """The script of all. Raises RunError where they kept none, or several."""
    scripts: dict[bytes, list[str]] = {}
    for run in runs:
        path = run.source / SCRIPT_NAME
        try:
            scripts.setdefault(path.read_bytes(), []).append(run.label)
        except OSError as error:
            raise RunError(f"{path}: {error.strerror or error}; a claim without its code is none") from error
    if len(scripts) > 1:
        told = "; ".join(", ".join(labels) for labels in scripts.values())
        raise RunError(f"{len(scripts)} scripts, of {told}: a record has one; run the seeds again from one revision")
    (script,) = scripts
    try:
        opened(script)
    except ConfigError as error:
        raise RunError(f"{runs[0].source / SCRIPT_NAME}: {error}") from error
    return script


def _siblings(one: Experiment) -> list[ReportedRun]:
    """Other runs of the same config, in the folders that those of the record lie in."""
    own = {run.source.resolve() for run in one.runs}
    parents = dict.fromkeys(run.source.resolve().parent for run in one.runs)
    beside = [folder for parent in parents for folder in sorted(parent.glob("seed=*")) if folder.resolve() not in own]
    return [run for run in gather(beside).entries if run.key == one.key]


def _named(folder: Path) -> Path:
    """A run folder by its name and its parent's: where that lies is nobody else's business."""
    place = folder.resolve()
    return Path(place.parent.name) / place.name


def _at_home(run: ReportedRun) -> ReportedRun:
    return replace(run, source=_named(run.source), excluded=_homeless(run.excluded))


def _homeless(reason: str) -> str:
    """``reason`` without the folders of absolute paths in it."""
    return re.sub(r"/(?:[^\s/]+/)+", "", reason)


def _write_seed(out: Path, run: ReportedRun, command: str) -> SeedFiles:
    tag = f"{run.seed}" + ("" if run.rerun == 1 else f".r{run.rerun}")
    result = read_result(run.source)
    _require_whole(run.source, result)
    artifact, log = out / f"artifact_seed{tag}.pgolf", out / f"train_seed{tag}.log"
    result["artifact"]["path"] = artifact.name
    result["run"]["command"] = f"{command} seed={run.seed}"
    for target, source in ((artifact, ARTIFACT_NAME), (log, "train.log")):
        try:
            write_bytes_atomic(target, (run.source / source).read_bytes())
        except OSError as error:
            raise RunError(f"{run.source / source}: {error.strerror or error}; a record holds it") from error
    write_text_atomic(out / f"result_seed{tag}.json", to_json(result, indent=2) + "\n")
    return SeedFiles(tag, result, artifact, log)


def _require_whole(folder: Path, result: Mapping[str, Any]) -> None:
    """Raises RunError where a result lacks what a record says of it."""
    fields = Fields(folder, result)
    for dotted in ("artifact.code_sha256", "budget.train_seconds", "budget.eval_seconds", "ledger", "run.git_sha"):
        fields.at(dotted)
    if fields.number("train.ms_per_step") is None:
        raise RunError(f"{folder}: half a result: train.ms_per_step is no number")
    probes = fields.at("certificate.probes")
    for probe in probes if isinstance(probes, list) else [None]:
        if not isinstance(probe, Mapping) or not {"letter", "passed", "message"} <= probe.keys():
            raise RunError(f"{folder}: half a result: certificate.probes holds what is no probe")


def _command(run: ReportedRun, cfg: Mapping[str, Any]) -> str:
    """The words of the run without those that only steer it, or name its seed."""
    try:
        words = read_overrides(run.source)
    except (OSError, ValueError):
        words = []
    beside = (*STEERING, "seed", "logger")
    kept = [word for word in words if word.lstrip("+~").partition("=")[0].partition(".")[0] not in beside]
    return shlex.join(["python", "train.py", *kept])
