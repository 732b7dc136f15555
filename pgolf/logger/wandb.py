"""A mirror of the run in Weights & Biases, kept at arm's length in a process of its own.

The package is imported only in that process (``pgolf.track.wandb_worker``), which is fed through a pipe by a
thread. So whatever the package or the network does, raise, hang or crash, a call here returns at once;
``finish`` alone waits, at most ``deadline`` seconds, then the process is ended. metrics.jsonl and result.json
have everything regardless. Cost: about 0.1 GB of memory and a second of one core beside the start of the run.

Source: the behaviour of wandb 0.31 without a network, and its documentation of offline runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import pgolf
from pgolf.core.ranges import Between
from pgolf.track.jsonable import to_plain

Mode = Literal["auto", "online", "offline", "disabled"]
_REST = "metrics.jsonl and result.json have everything"


class Wandb:
    """A Logger (core.protocols). ``folder`` is the run folder, ``say`` prints one line for the user."""

    def __init__(
        self,
        *,
        mode: Mode,
        project: str,
        entity: str | None,
        init_timeout: Annotated[float, Between(1, 25)],
        deadline: Annotated[float, Between(1, 25)],
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._mode, self._why = _resolve(mode)
        self._settings = {"project": project, "entity": entity, "init_timeout": init_timeout}
        self._deadline = deadline
        self._folder = folder.resolve()
        self._say = say
        self._process: subprocess.Popen[str] | None = None
        self._messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self._said = False

    def start(self, facts: Mapping[str, Any]) -> None:
        """Begin the mirror. Of ``facts``, ``run`` gives name and seed; everything becomes the W&B config."""
        if self._mode == "disabled":
            return
        try:
            self._process = self._spawn()
        except OSError as error:
            self._tell(f"not used: its process cannot be started ({error}); {_REST}")
            return
        run = facts.get("run") or {}
        name = f"{run.get('name', self._folder.parent.name)}/seed={run.get('seed', '')}"
        self._send(
            "start",
            mode=self._mode,
            **self._settings,
            name=name,
            group=run.get("name"),
            config=to_plain(facts),
            folder=str(self._folder),
            deadline=self._deadline,
        )
        threading.Thread(target=self._feed, args=(self._process.stdin,), name="wandb-feed", daemon=True).start()
        self._reader = threading.Thread(
            target=self._listen, args=(self._process.stdout,), name="wandb-listen", daemon=True
        )
        self._reader.start()
        if self._mode == "offline":
            self._say(f"wandb: offline ({self._why}), files in {self._folder / 'wandb'}")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand over one step's metrics; returns at once."""
        if self._process is not None:
            self._send("log", step=step, metrics=_numbers(metrics))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Hand over the summary and wait for the end, at most ``deadline`` seconds. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        end = time.monotonic() + self._deadline
        self._send("finish", summary=_flat(to_plain(result)), failed=result.get("status") != "finished")
        self._messages.put(None)
        try:
            process.wait(self._deadline)
        except subprocess.TimeoutExpired:
            self._tell(f"given up after {self._deadline:g} s; {_REST}")
            _kill(process)
        if self._reader is not None:
            self._reader.join(max(0.1, min(2.0, end - time.monotonic())))
        if process.returncode not in (0, None) and not self._said:
            self._tell(f"stopped with status {process.returncode}; {_REST}")

    def _spawn(self) -> subprocess.Popen[str]:
        files = self._folder / "wandb"
        files.mkdir(parents=True, exist_ok=True)
        paths = [str(Path(pgolf.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        with open(files / "worker.log", "ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "pgolf.track.wandb_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                cwd=files,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                start_new_session=True,  # Ctrl-C ends the run, which then ends the mirror in order
            )

    def _send(self, kind: str, **content: Any) -> None:
        self._messages.put(json.dumps({"kind": kind, **content}))

    def _feed(self, pipe: IO[str]) -> None:
        """Thread: queue to pipe. A pipe that is full because the other side hangs blocks only this thread."""
        with contextlib.suppress(OSError, ValueError):
            while (message := self._messages.get()) is not None:
                pipe.write(message + "\n")
                pipe.flush()
        with contextlib.suppress(OSError, ValueError):
            pipe.close()

    def _listen(self, pipe: IO[str]) -> None:
        """Thread: lines for the user from the other side."""
        for line in pipe:
            if line.startswith("say "):
                self._tell(line.removeprefix("say ").strip())

    def _tell(self, text: str) -> None:
        self._said = True
        self._say(f"wandb: {text}")


def _resolve(mode: Mode) -> tuple[str, str]:
    """The mode to use, and why it is offline. ``auto`` follows WANDB_MODE, then the key."""
    if mode != "auto":
        return mode, "asked for"
    wish = os.environ.get("WANDB_MODE", "").strip().lower()
    if wish in ("online", "offline", "disabled", "dryrun"):
        return {"dryrun": "offline"}.get(wish, wish), f"WANDB_MODE={wish}"
    if os.environ.get("WANDB_API_KEY"):
        return "online", ""
    return "offline", "no WANDB_API_KEY"


def _kill(process: subprocess.Popen[str]) -> None:
    """End the process and what it started in its session."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2.0)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as plain numbers; unlike files, W&B takes NaN and the infinities as they are."""
    return {
        str(name): value if isinstance(value, bool | int | float | str) else to_plain(value)
        for name, value in metrics.items()
    }


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """``{"scores": {"final": {"val_bpb": 1}}}`` as ``{"scores/final/val_bpb": 1}``; lists are left out."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}/")
        elif value is not None and not isinstance(value, list):
            flat[f"{prefix}{key}"] = value
    return flat
