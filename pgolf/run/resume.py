"""``resume=true``: go on with an unfinished run, from the newest whole checkpoint in its folder.

What an earlier process decided about the machine (precision, compiling, threads) is taken over, since other
arithmetic has other bits; where it cannot be, that is said. Log files are cut to where they were at the checkpoint:
what was told after it is told again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.config.compose import read_config
from pgolf.config.content import content
from pgolf.config.naming import config_hash
from pgolf.config.saved import one_number
from pgolf.core.errors import CannotResume, RunError, UserError
from pgolf.core.process import peak_memory
from pgolf.core.results import TrainResult
from pgolf.core.threads import cores
from pgolf.run import stages
from pgolf.run.recorder import Recorder
from pgolf.track.folder import ASIDE, CHECKPOINTS, RunFolder, status_of
from pgolf.track.result import COMPLETE, RESULT_NAME
from pgolf.train.checkpoints import PARTS, Checkpoints, SavedState, of_rank
from pgolf.train.trainer import Trainer, shares_state

TRAINED = "trained"  # told the other replicas in place of a state
_LISTED = 12  # differences that a message names
# What ``Trainer.restore`` reads; asking a trainer for its state may be a matter of all replicas.
_STATE = (
    "model",
    "beside",
    "route",
    "optimizer",
    "loader",
    "hooks",
    "seconds",
    "step",
    "tokens",
    "stopped_by",
    "random",
)


@dataclass(frozen=True, slots=True)
class Found:
    """An unfinished run to go on with; ``notes`` are lines for the user."""

    folder: RunFolder
    checkpoint: SavedState
    notes: Sequence[str]

    def settled(self, cfg: Mapping[str, Any]) -> dict[str, Any]:
        """``cfg`` with what was decided about the machine where it leaves that open."""
        machine, train = self.checkpoint.facts["machine"], dict(cfg["train"])
        if train["precision"] == "auto":
            train["precision"] = {"none": "fp32", "bfloat16": "bf16"}.get(machine["autocast"], "auto")
        if train["compile"] == "auto" and not machine["compile"]:
            train["compile"] = "never"
        if train["threads"] is None and machine["threads"] <= cores():
            train["threads"] = machine["threads"]
        return {**cfg, "train": train}

    def changes(self, now: Mapping[str, Any]) -> Iterator[str]:
        """What is not as it was, so that bits may differ. ``now``: the recorder's account."""
        before = self.checkpoint.facts
        for key, value in now["machine"].items():
            if before["machine"].get(key) != value:
                yield f"{key} {value}, but {before['machine'].get(key)} before: bits may differ"
        if before["code_sha256"] != now["code_sha256"]:
            yield "the code has changed since: bits may differ"


def find(cfg: Mapping[str, Any], root: Path, name: str, world: int) -> Found:
    """Take the unfinished run that ``cfg`` asks for. Raises RunError naming what there is instead, CannotResume where
    that is an unfinished run without anything that fits."""
    folder = RunFolder.reopen(root, name, cfg["seed"])
    if folder is None:
        raise RunError(f"resume: there is no run in {root / name}/seed={cfg['seed']}. {_nearest(cfg, root)}")
    try:
        return _found(cfg, root, folder, world)
    except OSError as error:
        folder.close()
        raise RunError(f"resume: {folder.path}: {error.strerror or error}") from error
    except BaseException:
        folder.close()
        raise


def _found(cfg: Mapping[str, Any], root: Path, folder: RunFolder, world: int) -> Found:
    notes: list[str] = []
    checkpoint = Checkpoints(folder.path).newest(notes.append)
    if checkpoint is None:
        aside = sorted(place.parent.name for place in folder.path.glob(f"{ASIDE}*/{CHECKPOINTS}"))
        where = f"; those of earlier attempts are in {', '.join(aside)}" if aside else ""
        raise CannotResume(
            "\n".join([*notes, f"resume: {folder.path} holds no checkpoint to go on from{where}. "])
            + f"Without resume=true the run begins anew. {_nearest(cfg, root)}"
        )
    try:
        _check(cfg, folder, checkpoint, world)
        what = "training is over" if checkpoint.trained else f"after step {checkpoint.step:,}"
        found = Found(folder, checkpoint, [*notes, f"{what}, from {checkpoint.path}"])
        found.settled(cfg)  # it must say all that it is asked for
        _cut_logs(folder.path, checkpoint.facts["logs"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CannotResume(f"resume: {checkpoint.path}: not what a checkpoint of a run says ({error!r})") from error
    (folder.path / RESULT_NAME).unlink(missing_ok=True)
    return found


def fit(recorder: Recorder, trainer: Trainer, found: Found | None) -> TrainResult:
    """Train what is left to train."""
    if found is None:
        recorder.replicas.shared(None)
        return stages.fit(recorder, trainer)
    for change in found.changes(recorder.account()):
        recorder.tell("resume", change)
    _check_state(found.checkpoint, trainer)
    state = recorder.replicas.shared(TRAINED if found.checkpoint.trained else found.checkpoint.state)
    if not found.checkpoint.trained:
        return stages.fit(recorder, trainer, of_rank(state, recorder.replicas.rank))
    state = found.checkpoint.state
    for hook in trainer.hooks:
        hook.at_start(trainer)
    trainer.restore(state)
    trained = TrainResult(**state["result"])
    recorder.tell("trained", step=trained.steps, result=trained, memory=peak_memory(recorder.device))
    return trained


def _check(cfg: Mapping[str, Any], folder: RunFolder, checkpoint: SavedState, world: int) -> None:
    facts = checkpoint.facts
    if facts["config_hash"] != config_hash(cfg):
        differ = "; ".join(_differences(cfg, read_config(folder.config))) or "no key, but what is read of them"
        raise CannotResume(f"resume: {folder.path} was made by another config. What differs: {differ}")
    if facts["world"] != world:
        raise CannotResume(f"resume: {folder.path} is a run of {facts['world']} processes, not of {world}")


def _check_state(checkpoint: SavedState, trainer: Trainer) -> None:
    """Raise CannotResume for the state of another model or other hooks: the code was another."""
    state = checkpoint.state
    wanted = [*_STATE, *(["result"] if checkpoint.trained else [])]
    models = trainer.model.state_dict(), state.get("model", {})
    weights = [{name: value.shape for name, value in model.items()} for model in models]
    hooks = [[set(hook) for hook in those] for those in ([h.state() for h in trainer.hooks], state.get("hooks", ()))]
    if missing := [key for key in wanted if key not in state]:
        what = f"it has no {', '.join(missing)}"
    elif not checkpoint.trained and shares_state(trainer) and len(state.get(PARTS, ())) != trainer.replicas.world:
        what = "it has one process's part of the state"
    elif weights[0] != weights[1]:
        what = "its weights are not those of this model"
    elif hooks[0] != hooks[1]:
        what = "its hooks remember other things"
    else:
        return
    raise CannotResume(
        f"resume: {checkpoint.path}: {what}; it was written by other code"
        + (f", at revision {checkpoint.facts['git_sha']}" if checkpoint.facts.get("git_sha") else "")
    )


def _cut_logs(folder: Path, lengths: Mapping[str, int]) -> None:
    """What was told after the checkpoint is told again; a file that is shorter was never written so far."""
    for name, length in lengths.items():
        path = folder / Path(name).name
        if path.is_file() and path.stat().st_size > length:
            os.truncate(path, length)


def _nearest(cfg: Mapping[str, Any], root: Path) -> str:
    """The unfinished run whose config has the fewest other keys, and which."""
    found = []
    for place in root.glob(f"*/seed=*/{CHECKPOINTS}"):
        run = place.parent
        if any(Checkpoints(run).paths()) and status_of(run)[0] not in COMPLETE:
            try:
                found.append((list(_differences(cfg, read_config(run / "config.yaml"))), run))
            except (UserError, KeyError, TypeError, AttributeError):
                continue  # of another version
    if not found:
        return f"No run in {root} has been left unfinished with a checkpoint"
    differ, run = min(found, key=lambda pair: (len(pair[0]), str(pair[1])))
    more = f"; and {len(differ) - _LISTED} more" if len(differ) > _LISTED else ""
    return f"The nearest unfinished one is {run}, which differs in {'; '.join(differ[:_LISTED])}{more}"


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Each key that a run reads and whose value differs, with both; the seed too."""
    one, other = (dict(_flat({**content(cfg), "seed": cfg["seed"]})) for cfg in (ours, theirs))
    for key in (*one, *(key for key in other if key not in one)):
        ours_now, theirs_then = one.get(key, "absent"), other.get(key, "absent")
        if ours_now != theirs_then and not one_number(ours_now, theirs_then):
            yield f"{key}: {ours_now} here, {theirs_then} there"


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _flat(child, f"{place}.{key}" if place else str(key))
    else:
        yield place, str(list(value) if isinstance(value, (list, tuple)) else value)
