"""The process behind ``pgolf.logger.wandb``: JSON messages in, Weights & Biases out.

It ends by itself when its input ends, which also happens when the run is killed; the W&B run is then marked
as failed. Lines of standard output that begin with ``say`` are for the user.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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
        for message in messages:
            if message["kind"] == "log":
                run.log(message["metrics"], step=message["step"])
            else:
                run.summary.update(message["summary"])
                failed = message["failed"]
        _end_within(start["deadline"])
        run.finish(exit_code=int(failed))
    except Exception as error:
        _say(f"stopped: {_reason(error)}; metrics.jsonl and result.json have everything")
    return 0


def _begin(start: dict[str, Any]) -> Any:
    """Open the W&B run: online if asked, offline if that fails."""
    import wandb

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
            project=start["project"],
            entity=start["entity"],
            name=start["name"],
            group=start["group"],
            config=start["config"],
            dir=start["folder"],
            reinit="create_new",
            settings=wandb.Settings(**settings),
        )

    if start["mode"] == "online":
        try:
            return init("online")
        except Exception as error:
            reason = _reason(error)
        run = init("offline")
        _say(f"offline, because online failed ({reason}); later: wandb sync {_shown(run, start)}")
        return run
    return init(start["mode"])


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
