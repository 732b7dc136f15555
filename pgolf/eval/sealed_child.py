"""The sealed process: artifact and stream in, scores or rows out, and nothing else within reach.

This is the judge's part, and imports nothing but the standard library and other people's packages: it closes the
process to all that is not listed (``pgolf.eval.isolation``), tries that it is closed, imports the packages, seals
(``pgolf.eval.seal``), and only then lets the code that makes scores in: that of the counted script, from which it takes
``pgolf.eval.serve``. It lives in an empty folder of its own.

Where the work is shared out it forks its further ranks before that (``pgolf.eval.links``); each is closed and sealed by
itself, and tells the first one, not the judge, that it is, and how it ended.

Standard output is the channel; prints go to the error log. Only the process that started it ends it, or that
process's death: where a scheduler signals a whole job, the run must say that it was stopped, not that its evaluation
crashed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from importlib.util import find_spec
from typing import IO, Any

from pgolf.core.errors import RankLost
from pgolf.core.signals import HEEDED
from pgolf.eval.frames import receive, send
from pgolf.eval.isolation import NotIsolated, Reach, isolate
from pgolf.eval.library import IMPORTED, OWN, Library, origin_of
from pgolf.eval.links import Link, LinkedRanks, last_words, split
from pgolf.eval.seal import Seal, SealBroken, seal

_PR_SET_PDEATHSIG = 1


def main(starter: int | None = None) -> None:
    """Serve one stream. ``starter``: the process that forked this one, where it is not the judge itself."""
    for number in HEEDED:
        signal.signal(number, signal.SIG_IGN)
    answers: IO[bytes] = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions: IO[bytes] = sys.stdin.buffer
    order, _ = receive(questions)
    _die_with(starter or order["parent"])
    world, first = int(order.get("ranks", 1)), os.getpid()
    closed: Seal | None = None
    try:
        rank, links = split(world)
        if rank:
            answers.close()
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
            _die_with(first)
            answers, questions = links[0].says, links[0].hears
            receive(questions)  # the first rank is closed
        facts = {"isolation": isolate(Reach(**order["reach"]), order["parent"])}
        import_packages(order["places"])  # what a zygote has imported is there already
        _import_from(order)
        facts |= _read(order)
        closed = _close(order)
        others = [] if rank else links
        facts["isolation"] = " / ".join(dict.fromkeys([facts["isolation"], *_closed(others)]))
        send(answers, {"closed": facts})  # before anyone else can say so
        order = _of_rank(order, rank, links, world)
        told = _run(order, {"order": order, "questions": questions, "answers": answers})
        told |= {"peak_bytes": _peak_bytes()}
        violations = closed.violations
        for ended in _ended(others):
            violations = [*violations, *ended["violations"]]
            told["peak_bytes"] += ended["facts"]["peak_bytes"]
        send(answers, {"ended": "done", "violations": violations, "facts": told})
        for link in others:
            os.waitpid(link.pid, 0)
    except SealBroken as error:
        violations = list(closed.violations) if closed else [("seal", str(error))]
        traceback.print_exc()  # it may look for sources that are out of reach
        send(answers, {"ended": "refused", "violations": violations})
    except NotIsolated as error:
        send(answers, {"ended": "error", "class": "UserError", "message": str(error)})
    except Exception as error:
        if "UserError" not in (cls.__name__ for cls in type(error).__mro__):  # of whichever code was let in
            raise
        send(answers, {"ended": "error", "class": type(error).__name__, "message": str(error)})


def _closed(links: Sequence[Link]) -> list[str]:
    """Let the other ranks close themselves; what holds each. Raises SealBroken, NotIsolated."""
    for link in links:
        send(link.says, {"first": "closed"})
    said = [_heard(link) for link in links]
    return [message["closed"]["isolation"] for message in said]


def _ended(links: Sequence[Link]) -> list[dict[str, Any]]:
    """The last words of the other ranks."""
    return [_heard(link) for link in links]


def _heard(link: Link) -> dict[str, Any]:
    """What another rank says of itself. Raises RankLost where it was not done."""
    try:
        message, _ = receive(link.hears)
    except EOFError:
        message = {"ended": "without a word"}
    if message.get("ended", "done") != "done":
        raise RankLost(f"evaluation: another of its processes has ended: {last_words(message)}")
    return message


def _of_rank(order: Mapping[str, Any], rank: int, links: Sequence[Link], world: int) -> dict[str, Any]:
    """What is ordered of one of several: its way to the others, its device, its share of the cores."""
    if world == 1:
        return dict(order)
    device = f"cuda:{rank}" if order["device"].startswith("cuda") else order["device"]
    threads = max(1, order["threads"] // world)
    return {**order, "group": LinkedRanks(rank, links, world, device), "device": device, "threads": threads}


def _die_with(parent: int) -> None:
    """Be killed when the thread that started this process ends, in whatever way.

    Linux alone offers that. Elsewhere the closed pipe ends this process, when it next says something.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before this process could ask
        os._exit(1)


def report() -> None:
    """Print where each module that is asked for would come from."""
    order, _ = receive(sys.stdin.buffer)
    _import_from(order)
    print(json.dumps({name: origin_of(name) for name in order["names"]}))


def import_packages(places: Mapping[str, str]) -> None:
    """Import what evaluation is made of, from there alone."""
    _import_from({"folders": [], "places": places})
    for name in IMPORTED:
        if find_spec(name) is not None:
            import_module(name)
    import ctypes  # noqa: F401 - loads libffi; later loading of foreign libraries is refused


def _import_from(order: Mapping[str, Any]) -> None:
    """Find top-level modules in the library alone, and in the folders that are named."""
    sys.path[:] = order["folders"]
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Library(dict(order["places"]), ()), PathFinder]


def _read(order: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to begin with, as it lies there."""
    with open(order["artifact"], "rb") as file:
        artifact = file.read()
    return {
        "artifact_sha256": hashlib.sha256(artifact).hexdigest(),
        "working_directory_entries": len(os.listdir()),
    }


def _close(order: Mapping[str, Any]) -> Seal:
    """Seal this process."""
    reach = order["reach"]
    counted = [order["artifact"], *filter(None, [order["script"]])]
    closed = Seal(tuple(map(os.path.realpath, counted)), tuple(reach["readable"]), tuple(reach["writable"]))
    seal(closed)
    return closed


def _run(order: Mapping[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """Let in the code that makes scores; returns what it tells of itself."""
    if order["script"] is not None:
        with open(order["script"], "rb") as file:
            script = file.read()
        for name in [name for name in sys.modules if name.partition(".")[0] == OWN]:
            del sys.modules[name]  # the script brings its own
        exec(compile(script, order["script"], "exec"), {"__name__": "train_gpt", "__file__": order["script"]})
    exec(compile(order["program"], "<program>", "exec"), names)
    return dict(names.get("facts", {}))


def _peak_bytes() -> int:
    """Largest resident memory of this process so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
