"""The process behind ``pgolf.logger.wandb``: JSON messages in, Weights & Biases out.

It ends by itself when its input ends, which also happens when the run is killed; the W&B run is then marked
as failed. Lines of standard output that begin with ``say`` are for the user.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TYPE = "run-files"
_FINAL = ("artifact.pgolf", "weights.pt", "train_gpt.py")  # large or fixed: referred to where they lie, not copied
_OVER_SECONDS = ("train_loss", "dev_loss", "dev_bpb", "final_loss", "final_bpb")
_ROWS = "rows"
_DIGITS = 15
_PROBE_BYTES = 1 << 16


def main(lines: Iterable[str]) -> int:
    """Serve one run. Returns the exit status: 0 also where W&B could not be used and the user was told."""
    messages = (json.loads(line) for line in lines)
    start = next(messages, None)
    if start is None:
        return 0
    try:
        run = _begin(start)
    except Exception as error:
        _say(f"not used: {_reason(error)}; metrics.jsonl and result.json have everything")
        return 0
    if run is None:
        return 0
    failed = True
    try:
        rows = _Rows(run, Path(start["folder"]) / "wandb" / _ROWS, start["continues"])
        for message in messages:
            if message["kind"] == "log":
                rows.log(message["step"], message["metrics"])
            else:
                run.summary.update(message["summary"])
                failed = message["failed"]
                _end_within(start["deadline"])
                _upload(run, message["uploads"])
        _end_within(start["deadline"])
        run.finish(exit_code=int(failed))
        _look_for_room(Path(start["folder"]) / "wandb")
    except Exception as error:
        _say(f"stopped: {_reason(error)}; metrics.jsonl and result.json have everything")
    return 0


def _look_for_room(folder: Path) -> None:
    """W&B itself says nothing of a disk that took no more."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
    except OSError as error:
        _say(f"its files may be cut short: {folder}: {error.strerror or error}")


class _Rows:
    """The history of the run. Each row has its step and the training seconds as numbers of its own, over which W&B
    draws the others, and is counted: W&B takes rows in rising order alone, and a run that goes on from a checkpoint
    tells some steps again. The count is in a file that survives the end of this process, whatever that is.
    """

    def __init__(self, run: Any, path: Path, continues: bool) -> None:
        self._run, self._seconds = run, None
        for axis in ("step", "train_seconds"):
            run.define_metric(axis)
        run.define_metric("*", step_metric="step")
        run.define_metric("by_seconds/*", step_metric="train_seconds")
        self._count = _counted(path) if continues else 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._keep()

    def log(self, step: int, metrics: dict[str, Any]) -> None:
        self._seconds = metrics.get("train_seconds", self._seconds)
        row = {"step": step, **metrics}
        if self._seconds is not None:
            row["train_seconds"] = self._seconds
            row |= {f"by_seconds/{name}": metrics[name] for name in _OVER_SECONDS if name in metrics}
        count, self._count = self._count, self._count + 1
        self._keep()
        self._run.log(row, step=count)

    def _keep(self) -> None:
        with contextlib.suppress(OSError):  # on a full disk W&B has more to say
            os.pwrite(self._file, f"{self._count:0{_DIGITS}}\n".encode(), 0)


def _counted(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _begin(start: dict[str, Any]) -> Any:
    """Open the W&B run: online if asked, offline if that fails."""
    import wandb

    os.environ.setdefault("WANDB_DATA_DIR", str(Path(start["folder"]) / "wandb"))  # what waits to be uploaded
    known = getattr(wandb.Settings, "model_fields", {})
    settings: dict[str, Any] = {
        "console": "off",
        "silent": True,
        "x_disable_stats": True,
        "save_code": False,
        "disable_git": True,  # revision and command are in the config we send
        "init_timeout": start["init_timeout"],
    }
    if "finish_timeout" in known:
        settings["finish_timeout"] = max(1.0, start["deadline"] - 2.0)

    def init(mode: Any) -> Any:
        return wandb.init(
            mode=mode,
            **{
                key: start[key] for key in ("project", "entity", "name", "group", "job_type", "tags", "notes", "config")
            },
            id=start["id"],
            resume="allow" if start["continues"] else None,
            allow_val_change=True,
            dir=start["folder"],
            reinit="create_new",
            settings=wandb.Settings(**settings),
        )

    if start["mode"] == "online":
        try:
            return init("online")
        except Exception as error:
            reason = _reason(error)
        wandb.teardown()  # its service holds the id of the run that it could not open
        run = init("offline")
        _say(f"offline, because online failed ({reason}); later: wandb sync {_shown(run, start)}")
        return run
    return init(start["mode"])


def _upload(run: Any, paths: list[str]) -> None:
    if not paths:
        return
    import wandb

    files = wandb.Artifact(f"run-{run.id}", type=_TYPE)
    for path in map(Path, paths):
        final = path.name in _FINAL
        policy: Any = "immutable" if final else "mutable"
        files.add_file(str(path), name=path.name, policy=policy, skip_cache=True)
    run.log_artifact(files)


def _shown(run: Any, start: dict[str, Any]) -> str:
    files = Path(str(getattr(run, "dir", ""))).parent
    return (
        str(files) if files.name.startswith("offline-run") else str(Path(start["folder"]) / "wandb" / "offline-run-*")
    )


def _reason(error: BaseException) -> str:
    """The first line of an error, short enough for one line on the console."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the run may be gone, with nobody left to read it
        print(f"say {text}", flush=True)


def _end_within(seconds: float) -> None:
    """A process nobody waits for any more must not linger on a dead network."""
    timer = threading.Timer(seconds, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.path[:] = [place for place in sys.path if place not in ("", os.getcwd())]  # run files there: wandb/
    status = main(sys.stdin)
    sys.stdout.flush()
    os._exit(status) if status else sys.exit(0)
