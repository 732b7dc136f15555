"""From a command line to jobs and an exit status: preflight, Hydra, and one plain message per error.

Hydra decides the exit status by exceptions alone; ours says more (decisions 19): 0 valid, 2 configuration or
input error, 3 over a cap, 4 certificate failed, 128 + n stopped by signal n (``pgolf.core.signals``), 1 anything
else. Each job notes how it ended in a file, so that jobs of a sweep in other processes count too, and the worst status
is returned after Hydra's main has.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from pgolf.config import schema
from pgolf.config.compose import compose, settings
from pgolf.config.options import conf_dir, only_options
from pgolf.config.preflight import preflight
from pgolf.config.readonly import read_only
from pgolf.config.sweeping import CRASHED, STATUS_FILE, WORDS, EarlierRuns, Job, axes_of, jobs_of, sweep_job
from pgolf.core.command import complain, home
from pgolf.core.errors import ConfigError, UserError, did_you_mean
from pgolf.core.jobs import FINISHED, JobEnd, append_end, read_ends, summary
from pgolf.core.signals import exit_status, heeding_signals
from pgolf.core.streams import harmless_streams
from pgolf.core.threads import bound_spinning

_LAUNCHERS = {
    "basic": "",
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "'pgolf[slurm]'",
    "submitit_slurm": "'pgolf[slurm]'",
}
# Hydra's own flags that take a value; what follows them is no override.
_CONFIG_FLAGS = ("-cn", "--config-name", "-cp", "--config-path", "-cd", "--config-dir")
# What only shows something writes nothing, no folder either.
_SHOWING_FLAGS = ("-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-i", "--info", "-sc")
_VALUED_FLAGS = (*_CONFIG_FLAGS, "-p", "--package", "-c", "--cfg", "--experimental-rerun")
_MAYBE_VALUED_FLAGS = ("-i", "--info")


def sorted_words(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides among the words of a command line, and Hydra's flags with their values."""
    words: list[str] = []
    flags: list[str] = []
    for word in argv:
        valued = bool(flags) and (flags[-1] in _VALUED_FLAGS or (flags[-1] in _MAYBE_VALUED_FLAGS and "=" not in word))
        (flags if valued or word.startswith("-") else words).append(word)
    return words, flags


def may_sweep(argv: Sequence[str]) -> bool:
    """Whether a word may have several values: with -m, or where another primary config may ask for a sweep."""
    flags = ("-m", "--multirun", *_CONFIG_FLAGS)
    return any(
        word in flags or word.startswith(("hydra.mode=", *(f"{flag}=" for flag in _CONFIG_FLAGS))) for word in argv
    )


def primary_config(flags: Sequence[str]) -> tuple[str, Path | None]:
    """What Hydra composes from: a name, and the folder where it lies if not in ``conf/``. ``flags``: Hydra's, with
    their values. Raises ConfigError where it is not there."""
    told: dict[str, str] = {}
    for flag, after in zip(flags, (*flags, "")[1:], strict=True):
        name, given, value = flag.partition("=")
        if name in _CONFIG_FLAGS:
            told[_CONFIG_FLAGS[_CONFIG_FLAGS.index(name) | 1]] = value if given else after
    if "--config-path" in told or "--config-name" not in told:
        return "config", None
    name = told["--config-name"].removesuffix(".yaml")
    folders = [conf_dir(), *([Path(told["--config-dir"])] if "--config-dir" in told else [])]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir: there is no folder {folder}")
        if (folder / f"{name}.yaml").is_file():
            return name, folder
    known = sorted(path.stem for path in folders[-1].glob("*.yaml"))
    raise ConfigError(
        f"--config-name: no {name}.yaml in {' or '.join(map(str, folders))}.{did_you_mean(name, known)} "
        f"There are {', '.join(known)}."
    )


def _of_each_job(word: str, override: Override, late: Collection[str]) -> str:
    """Hydra composes a sweep without its axes before it composes the jobs: what is there with one of these alone must
    be an axis too, of one value."""
    key, _, value = word.partition("=")
    return f"{key}=choice({value})" if key in late and value and not override.is_sweep_override() else word


def note_status(status: int) -> None:
    """Tell the launching process this job's exit status."""
    place = os.environ.get(STATUS_FILE)
    if place:
        append_end(Path(place), JobEnd(0, "", "", status, FINISHED, "", 0.0))


def run_job(job: Job, cfg: DictConfig, earlier: Callable[[Any], EarlierRuns]) -> float:
    """Run one job of ``hydra.main``. Returns its objective, infinity where it must not win a search.

    ``job(settings, overrides)`` returns (objective, exit status). A UserError becomes a message and a status.
    ``earlier(settings)``: what there is already of a job of a sweep.
    """
    only_options()  # a job may have a process of its own
    hydra = HydraConfig.get()
    overrides = [str(word) for word in hydra.overrides.task]
    if hydra.mode is RunMode.MULTIRUN:
        return sweep_job(job, cfg, hydra, overrides, earlier)
    try:
        objective, status = job(read_only(settings(cfg, hydra)), overrides)
    except UserError as error:
        complain(error)
        objective, status = math.inf, error.exit_status
    except KeyboardInterrupt as stop:
        note_status(exit_status(stop))
        raise
    except Exception:
        note_status(CRASHED)
        raise
    note_status(status)
    return objective if status == 0 else math.inf


def require_launcher(words: Sequence[str]) -> None:
    """Raise ConfigError where a launcher is chosen whose package is not there; Hydra would only not find the option."""
    chosen = [word.partition("=")[2] for word in words if word.partition("=")[0] == "hydra/launcher"]
    for name in chosen[-1:]:
        if name not in _LAUNCHERS:
            known = ", ".join(_LAUNCHERS)
            raise ConfigError(f"hydra/launcher: {name!r} is none of {known}.{did_you_mean(name, list(_LAUNCHERS))}")
        if not _is_there(name):
            raise ConfigError(f"hydra/launcher={name}: its package is not there: pip install {_LAUNCHERS[name]}")


def _is_there(launcher: str) -> bool:
    if launcher == "basic":
        return True
    if find_spec("hydra_plugins") is None:
        return False
    if launcher == "joblib":
        return find_spec("hydra_plugins.hydra_joblib_launcher") is not None
    return find_spec("hydra_plugins.hydra_submitit_launcher") is not None


def require_folder(root: Path) -> None:
    """Raise ConfigError unless ``root`` is, or can be made, a folder we may write to. Hydra writes there first."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"run_root: {root} cannot be made ({error.strerror}); choose another place") from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise ConfigError(f"run_root: {root} is not writable; choose another place")


def launch(main: Callable[[], Any], argv: Sequence[str]) -> int:
    """Check the command line, hand over to Hydra's ``main`` and return the exit status of the process."""
    harmless_streams()
    bound_spinning()
    schema.register()
    try:
        with heeding_signals():
            return _launch(main, argv)
    except UserError as error:
        complain(error)
        return error.exit_status
    except KeyboardInterrupt as stop:
        return exit_status(stop)


def _launch(main: Callable[[], Any], argv: Sequence[str]) -> int:
    """``launch`` without what turns errors and signals into a status: nothing is left behind when those pass."""
    only_options()
    (words, flags), plain = sorted_words(argv), not may_sweep(argv)
    require_launcher(words)
    primary = primary_config(flags)
    params = (compose((), *primary).hydra.sweeper.get("params") or {}) if primary[1] else {}
    swept = axes_of(params)
    late: set[str] = set()
    overrides = preflight(
        words, conf_dir(), lambda chosen: settings(compose(chosen, *primary)), sweeps=not plain, swept=swept, late=late
    )
    if swept and not any(word.startswith("hydra.sweeper.params=") for word in words):
        jobs_of(params, words)  # says what is no axis of a grid, where Hydra would end with a traceback
    shows = any(word.partition("=")[0] in _SHOWING_FLAGS for word in argv)
    if plain:  # now what Hydra would complain about in words of its own
        composed = settings(compose(words))
        shows |= composed["print_model"] or composed["dry_run"]
    roots = [o.value() for o in overrides if o.key_or_group == "run_root" and not o.is_sweep_override()]
    root = home(str(roots[-1] if roots else schema.Root.run_root))
    if not shows:
        require_folder(root)
    elsewhere = any(word.startswith("hydra/launcher=submitit") for word in words) and root.is_dir()
    for_hydra = [_of_each_job(word, override, late) for word, override in zip(words, overrides, strict=True)]
    sys.argv[1:] = [*for_hydra, *flags]  # its argparse wants the words in one piece
    # Jobs on other machines see the run root, and not this one's temporary files.
    with tempfile.TemporaryDirectory(prefix="pgolf-", dir=root.resolve() if elsewhere else None) as folder:
        statuses = Path(folder) / "statuses"
        os.environ |= {STATUS_FILE: str(statuses), WORDS: json.dumps(words)}
        crashed = 0
        try:
            main()
        except SystemExit as stop:
            if stop.code:  # Hydra has said why
                crashed = CRASHED if statuses.exists() else UserError.exit_status
        finally:
            for name in (STATUS_FILE, WORDS):
                os.environ.pop(name, None)
        ends = read_ends(statuses)
        if len(ends) > 1:
            print("\n".join(summary(ends)), flush=True)
        return max([crashed, *(end.status for end in ends)])


schema.register()  # a process that a launcher started has unpickled its job, imported this, and composes next
