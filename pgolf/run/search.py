"""Random search and successive halving over a space of words, by Optuna, in a file that a killed search goes on from.

A trial is a run of ``train.py`` in a process of its own, which minimises what a sweep minimises: dev bits per byte;
what breaks its cap, its certificate or itself costs infinity. Successive halving (arXiv 1502.07943, asynchronous:
1810.05934) runs each trial for the steps of the first rung and again for more while it is among the best 1/factor
of those that got there. Runs are named by their content: what a killed search had finished is kept and what it had
begun is resumed.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.config.space import Axis
from pgolf.config.sweep_file import SweepFile
from pgolf.core.errors import CertificateError, ConfigError, OverBudget, RunError
from pgolf.core.signals import HEEDED
from pgolf.track.earlier import kept

Objective = Callable[[Sequence[str]], float]  # infinity: a run that does not count; not a number: none at all
WORDS, RUNG = "words", "budget.train_steps"
_NO_AXES = "hydra.sweeper.params=null"  # a trial's words are its own; Hydra's sweeper knows no interval
_HOPELESS = 3  # first trials of which nothing came at all: nor will it of the others
_BROKEN = "broken"
_VERDICTS = (OverBudget.exit_status, CertificateError.exit_status)  # of a run, on its words


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """``rungs``: training steps, ascending, for halving by ``factor``; none for a random search. ``beside``: the words
    that stand in every trial and that the objective knows of by itself."""

    name: str
    axes: tuple[Axis, ...]
    fixed: tuple[str, ...]
    trials: int
    rungs: tuple[int, ...] = ()
    factor: int = 3
    seed: int = 0
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """``scores`` by rung, by 0 without rungs; ``state``: complete, pruned or failed."""

    number: int
    words: tuple[str, ...]
    scores: Mapping[int, float]
    state: str

    @property
    def best(self) -> float:
        """The score after the most steps."""
        return self.scores[max(self.scores)] if self.scores else math.inf


def search(plan: SearchPlan, folder: Path, objective: Objective, say: Callable[[str], None] = print) -> list[Trial]:
    """Run what is left of ``plan``; ``folder`` holds its file. Raises ConfigError; RunError without Optuna, and where
    the first trials all broke off. Those that ended over their cap are no reason: others may be under it."""
    optuna = _optuna()
    if not plan.axes:
        raise ConfigError(f"{plan.name}: nothing to search: no axis has more than one value")
    study = _study(optuna, plan, folder)
    _enqueue_unfinished(optuna, study, say)
    while (left := plan.trials - _ended(optuna, study)) > 0:
        if _all_broken(study):
            raise RunError(
                f"{plan.name}: the first {_HOPELESS} trials broke off, and so would the others. Mend what they were "
                f"stopped by, and move {_file(plan, folder)} aside"
            )
        trial = study.ask()
        words = [f"{axis.key}={_drawn(trial, axis)}" for axis in plan.axes]
        trial.set_user_attr(WORDS, words)
        say(f"trial {plan.trials - left + 1} of {plan.trials}: {' '.join(words)}")
        value, pruned = _run(trial, [*plan.fixed, *words], plan, objective, say)
        if pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif math.isfinite(value):
            study.tell(trial, value)
        else:
            trial.set_user_attr(_BROKEN, math.isnan(value))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return trials_of(study)


def _run(
    trial: Any, words: Sequence[str], plan: SearchPlan, objective: Objective, say: Callable[[str], None]
) -> tuple[float, bool]:
    """The score, and whether the trial ended early."""
    value = math.inf
    for index, rung in enumerate(plan.rungs or (0,)):
        try:
            value = objective([*words, *([f"{RUNG}={rung}"] if rung else [])])
        except ConfigError as error:  # a verdict on these words, as a broken cap is: others may compose
            say(f"  {error}")
            value = math.inf
        if not math.isfinite(value):
            say("  failed")
            return value, False
        say(f"  {value:.4f}" + (f" after {rung} steps" if rung else ""))
        trial.report(value, plan.factor**index)  # Optuna's rungs lie at powers of the factor
        if index + 1 < len(plan.rungs) and trial.should_prune():
            say(f"  ended: not among the best 1/{plan.factor}")
            return value, True
    return value, False


def _study(optuna: Any, plan: SearchPlan, folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    path = _file(plan, folder)
    storages = optuna.storages
    storage = storages.JournalStorage(storages.journal.JournalFileBackend(str(path)))
    pruner = (
        optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=plan.factor)
        if plan.rungs
        else optuna.pruners.NopPruner()
    )
    study = optuna.create_study(
        storage=storage,
        study_name=plan.name,
        direction="minimize",
        sampler=optuna.samplers.RandomSampler(seed=plan.seed + len(_trials_there(optuna, storage, plan.name))),
        pruner=pruner,
        load_if_exists=True,
    )
    said = {
        "axes": [repr(axis) for axis in plan.axes],
        "fixed": list(plan.fixed),
        "beside": list(plan.beside),
        "rungs": list(plan.rungs),
        "factor": plan.factor,
    }
    text = json.dumps(said, sort_keys=True)
    before = study.user_attrs.get("plan")
    if before is not None and before != text:
        raise ConfigError(
            f"{path}: holds a search over another space or with other words; move it aside, or name this one otherwise"
        )
    study.set_user_attr("plan", text)
    return study


def _file(plan: SearchPlan, folder: Path) -> Path:
    return folder / f"{plan.name}.search"


def _all_broken(study: Any) -> bool:
    again = {trial.user_attrs.get("again") for trial in study.trials}
    ended = [trial for trial in study.trials if trial.state.is_finished() and trial.number not in again]
    return len(ended) >= _HOPELESS and all(trial.user_attrs.get(_BROKEN, False) for trial in ended)


def _trials_there(optuna: Any, storage: Any, name: str) -> Sequence[Any]:
    try:
        return optuna.load_study(study_name=name, storage=storage).trials
    except KeyError:
        return []


def _enqueue_unfinished(optuna: Any, study: Any, say: Callable[[str], None]) -> None:
    """What a killed process had begun is begun again with the same numbers."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if trial.params:
            say(f"trial {trial.number} was not finished; its words are tried first")
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _ended(optuna: Any, study: Any) -> int:
    """Trials that came to something; those that were begun again do not count twice."""
    again = {trial.user_attrs.get("again") for trial in study.get_trials(deepcopy=False)}
    open_states = (optuna.trial.TrialState.WAITING, optuna.trial.TrialState.RUNNING)
    return sum(t.state not in open_states and t.number not in again for t in study.get_trials(deepcopy=False))


def _drawn(trial: Any, axis: Axis) -> Any:
    if axis.choices:
        return trial.suggest_categorical(axis.key, list(axis.choices))
    if axis.whole:
        return trial.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.log)
    return f"{trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log):.6g}"


def trials_of(study: Any) -> list[Trial]:
    """All of a study that came to something, or failed."""
    said = json.loads(study.user_attrs["plan"])
    rungs = {said["factor"] ** index: rung for index, rung in enumerate(said["rungs"] or [0])}
    again = {trial.user_attrs.get("again") for trial in study.trials}
    return [
        Trial(
            trial.number,
            tuple(trial.user_attrs.get(WORDS, ())),
            {rungs[step]: value for step, value in trial.intermediate_values.items()},
            trial.state.name.lower().replace("fail", "failed"),
        )
        for trial in study.trials
        if trial.number not in again and trial.state.is_finished()
    ]


def by_train_py(script: Path, sweep: SweepFile) -> Objective:
    """Runs of ``train.py``, each in a process of its own; a complete one is kept, an unfinished one gone on with."""

    def objective(words: Sequence[str]) -> float:
        cfg = sweep.settings(words)
        command = [sys.executable, str(script), "-cd", str(sweep.path.parent), "-cn", sweep.name, _NO_AXES]
        status = subprocess.run([*command, *words, *sweep.beside], check=False).returncode
        if status < 0 or status - 128 in HEEDED:
            raise KeyboardInterrupt
        found = kept(cfg)
        if found is not None:
            return found.objective
        return math.inf if status in _VERDICTS else math.nan

    return objective


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise RunError("a search needs optuna: pip install 'pgolf[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
