"""A mirror of the run in Weights & Biases, kept at arm's length in a process of its own.

The package is imported only in that process (``pgolf.track.wandb_worker``), which is fed through a pipe by a
thread. So whatever the package or the network does, raise, hang or crash, a call here returns at once;
``finish`` alone waits, at most ``deadline`` seconds, then the process is ended. metrics.jsonl and result.json
have everything regardless. Cost: about 0.1 GB of memory and a second of one core beside the start of the run.

What a person finds there: runs of one config are a group, whose name is the run's; the job type is train, sweep
(``sweep=NAME``), requantize or eval (``eval.py … logger=[wandb]``); tags are the words of ``TAGS`` and the sweep's; the
config is the composed one, with ``run`` and ``machine``; the summary has the columns of ``pgolf.track.columns``. Every
metric goes over ``step``; losses and bits per byte once more over ``train_seconds``, as ``by_seconds/NAME``. A run that
is resumed goes on in the same W&B run. What was kept offline is uploaded by
``wandb sync runs/*/*/wandb/offline-run-*``, of a resumed run all parts in one command.
Source: the behaviour of wandb 0.31 without a network, and its documentation of offline runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pgolf
from pgolf.core.ranges import Between, Word
from pgolf.track.columns import columns_of
from pgolf.track.jsonable import to_plain

Mode = Literal["auto", "online", "offline", "disabled"]
NAMES = Word(128, r"/\#?%:")  # what W&B takes as a project's
Name = Annotated[str, NAMES]
TAGS = ("experiment", "arch", "quant", "ngram", "mixer", "budget", "size")
_LONGEST_TAG = 64
_ID = re.compile(r"[0-9a-f]{10}")
_ID_FILE = "run_id"
_REST = "metrics.jsonl and result.json have everything"
_NOT_UPLOADED = (".lock", "console.log")  # the console still speaks when the run is told here to be over


class Wandb:
    """A Logger (core.protocols). ``folder`` is the run folder, ``say`` prints one line for the user."""

    def __init__(
        self,
        *,
        mode: Mode,
        project: Name,
        entity: Name | None,
        init_timeout: Annotated[float, Between(1, 25)],
        deadline: Annotated[float, Between(1, 600)],
        upload_artifact: bool,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._mode, self._why = _resolve(mode)
        self._settings = {"project": project, "entity": entity, "init_timeout": init_timeout}
        self._deadline = deadline
        self._uploads = upload_artifact
        self._folder = folder.resolve()
        self._files = self._folder / "wandb"
        self._say = say
        self._process: subprocess.Popen[str] | None = None
        self._messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self._said = False

    def start(self, facts: Mapping[str, Any]) -> None:
        """Begin the mirror. ``facts``: ``run`` (see ``pgolf.track.result.RunFacts``; with ``job``, and ``resumed`` of
        one that goes on), ``config``, ``machine``."""
        if self._mode == "disabled":
            return
        run = facts.get("run") or {}
        try:
            self._files.mkdir(parents=True, exist_ok=True)
            identity, continues = self._identity(bool(run.get("resumed")))
            if continues and self._mode == "online" and self._waiting():
                self._mode, self._why = "offline", "its first part is not synced yet"
            self._process = self._spawn()
        except OSError as error:
            self._tell(f"not used: its process cannot be started ({error}); {_REST}")
            return
        config = facts.get("config") or {}
        self._send(
            "start",
            mode=self._mode,
            **self._settings,
            **described(run, config, self._folder),
            config={**to_plain(config), **{key: to_plain(part) for key, part in facts.items() if key != "config"}},
            id=identity,
            continues=continues,
            folder=str(self._folder),
            deadline=self._deadline,
        )
        threading.Thread(target=self._feed, args=(self._process,), name="wandb-feed", daemon=True).start()
        self._reader = threading.Thread(target=self._listen, args=(self._process,), name="wandb-listen", daemon=True)
        self._reader.start()
        if self._mode == "offline":
            self._say(f"wandb: offline ({self._why}), files in {self._files}")

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
        uploads = self._left() if self._uploads else []
        failed = result.get("status") != "finished"
        self._send("finish", summary=columns_of(to_plain(result)), failed=failed, uploads=uploads)
        self._messages.put(None)
        try:
            process.wait(self._deadline)
        except subprocess.TimeoutExpired:
            self._tell(f"given up after {self._deadline:g} s; {_REST}")
            _kill(process)
        if self._reader is not None:
            self._reader.join(max(0.1, min(2.0, end - time.monotonic())))
        self._tell_end(process)

    def _identity(self, resumed: bool) -> tuple[str, bool]:
        """The id of the W&B run, and whether it has a part already."""
        path = self._files / _ID_FILE
        if resumed and path.is_file():
            known = path.read_text(errors="replace").strip()
            if _ID.fullmatch(known):
                return known, True
        if resumed:
            self._say(f"wandb: a new run there, as {path} does not name the one to go on with")
        identity = secrets.token_hex(5)
        path.write_text(identity + "\n")
        return identity, False

    def _waiting(self) -> bool:
        """Whether a part that was kept offline has not been uploaded: an earlier part uploaded after a later one would
        begin the run anew."""
        kept = self._files.glob("offline-run-*/run-*.wandb")
        return any(not path.with_name(path.name + ".synced").exists() for path in kept)

    def _left(self) -> list[str]:
        """The files of the run folder."""
        with contextlib.suppress(OSError):
            found = (path for path in self._folder.iterdir() if path.is_file() and not path.is_symlink())
            return sorted(str(path) for path in found if path.name not in _NOT_UPLOADED)
        return []

    def _spawn(self) -> subprocess.Popen[str]:
        paths = [str(Path(pgolf.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        with open(self._files / "worker.log", "ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "pgolf.track.wandb_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                cwd=self._files,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                start_new_session=True,  # Ctrl-C ends the run, which then ends the mirror in order
            )

    def _send(self, kind: str, **content: Any) -> None:
        self._messages.put(json.dumps({"kind": kind, **content}))

    def _feed(self, process: subprocess.Popen[str]) -> None:
        """Thread: queue to pipe. A pipe that is full because the other side hangs blocks only this thread."""
        pipe = process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError):
            while (message := self._messages.get()) is not None:
                pipe.write(message + "\n")
                pipe.flush()
        with contextlib.suppress(OSError, ValueError):
            pipe.close()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        """Thread: lines for the user from the other side, and its end where that comes too early."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("say "):
                self._tell(line.removeprefix("say ").strip())
        if self._process is process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2.0)
            self._process = None if process.returncode is not None else process
            self._tell_end(process)

    def _tell_end(self, process: subprocess.Popen[str]) -> None:
        if process.returncode not in (0, None) and not self._said:
            self._tell(f"stopped with status {process.returncode}; {_REST}")

    def _tell(self, text: str) -> None:
        self._said = True
        self._say(f"wandb: {text}")


def described(run: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """How W&B names and sorts the run: name, group, job type, tags and notes."""
    name, rerun = run.get("name", folder.parent.name), run.get("rerun") or 1
    choices, sweep = config.get("choices") or {}, config.get("sweep") or ""
    words = [f"{group}={choices[group]}" for group in TAGS if choices.get(group)]
    job = run.get("job") or "train"
    seed = "" if run.get("seed") is None else f"/seed={run['seed']}"
    notes = [str(config.get(key) or "") for key in ("hypothesis", "notes")]
    return {
        "name": f"{name}{seed}" + (f".r{rerun}" if rerun > 1 else ""),
        "group": f"eval of {name}" if job == "eval" else name,  # a mean over seeds must not hold one twice
        "job_type": job,
        "tags": [word[:_LONGEST_TAG] for word in (*words, *([f"sweep={sweep}"] if sweep else []))],
        "notes": "\n".join(filter(None, notes)),
    }


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
