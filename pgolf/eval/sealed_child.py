"""The sealed process: artifact and stream in, scores or rows out, and nothing else within reach.

It lives in an empty folder, seals itself before it opens the artifact, and asks for the targets of each block.
Standard output is the channel; prints go to the error log. Only the process that started it ends it, or that
process's death: where a scheduler signals a whole job, the run must say that it was stopped, not that its evaluation
crashed.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pgolf.core.errors import UserError
from pgolf.core.signals import HEEDED
from pgolf.eval.frames import receive, send
from pgolf.eval.remote import Line, RemoteAuditor, RemoteScorer
from pgolf.eval.seal import Seal, SealBroken, seal

if TYPE_CHECKING:
    from pgolf.eval.evaluation import Evaluation

_PR_SET_PDEATHSIG = 1


def main(alter: Callable[[Evaluation], Evaluation] = lambda evaluation: evaluation) -> None:
    """Serve one stream. ``alter`` is for those who prove the certificate: it makes of an evaluation another one."""
    for number in HEEDED:
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    order, _ = receive(questions)
    _die_with(order["parent"])
    installed: Seal | None = None
    try:
        installed = _prepare(order)
        _serve(order, installed, questions, answers, alter)
    except SealBroken as error:
        traceback.print_exc()
        violations = installed.violations if installed else [("seal", str(error))]
        send(answers, {"ended": "refused", "violations": violations})
    except UserError as error:
        send(answers, {"ended": "error", "class": type(error).__name__, "message": str(error)})


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


def _prepare(order: dict[str, Any]) -> Seal:
    """Import what evaluation is made of, then seal."""
    import ctypes  # noqa: F401 - loads libffi; later loading of foreign libraries is refused

    import torch

    import_module("pgolf.artifact.container")
    import_module("pgolf.eval.from_artifact")
    import_module("pgolf.compressor.registry").prepare(order["codecs"])
    from pgolf.eval import stage

    stage.KEEPS = False
    torch.set_num_threads(1)  # batches run side by side instead, order["threads"] of them
    order["working_directory_entries"] = len(os.listdir(order["working_directory"]))
    return seal(order["artifact"], sys.path[1:])


def _serve(
    order: dict[str, Any],
    installed: Seal,
    questions: BinaryIO,
    answers: BinaryIO,
    alter: Callable[[Evaluation], Evaluation],
) -> None:
    from pgolf.artifact.container import read
    from pgolf.eval.from_artifact import evaluation_from

    started = time.perf_counter()
    facts: dict[str, Any] = {"working_directory_entries": order["working_directory_entries"]}
    with open(order["artifact"], "rb") as file:
        facts["artifact_sha256"] = hashlib.sha256(file.read()).hexdigest()
    evaluation = evaluation_from(read(Path(order["artifact"])), device=order["device"], overrides=order["overrides"])
    evaluation = alter(replace(evaluation, workers=order["threads"]))
    evaluator = evaluation.evaluator(order["stream_tokens"])
    facts["setup_seconds"] = time.perf_counter() - started
    line = Line(questions, answers)
    first_tokens = line.open(evaluator.plan.lane_starts, evaluator.plan.side_bits)
    coder = RemoteAuditor(line) if order["task"] == "audit" else RemoteScorer(line)
    evaluator.run(coder, first_tokens)
    facts["score_seconds"] = time.perf_counter() - started - facts["setup_seconds"]
    facts["peak_bytes"] = _peak_bytes()
    facts["core_share"] = evaluator.core_share.share
    send(answers, {"ended": "done", "violations": installed.violations, "facts": facts})


def _peak_bytes() -> int:
    """Largest resident memory of this process so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
