"""What a sealed process does with artifact and stream: everything that computes a score, and so counted code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import torch

from pgolf.artifact.container import read
from pgolf.core.ranks import ONE
from pgolf.eval.coder import Coder
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.remote import Line, RemoteAuditor, RemoteScorer, Unheard

CODERS: dict[str, Callable[[Line], Coder]] = {"score": RemoteScorer, "audit": RemoteAuditor}


def serve(
    order: Mapping[str, Any],
    questions: IO[bytes],
    answers: IO[bytes],
    alter: Callable[[Evaluation], Evaluation] = lambda evaluation: evaluation,
) -> dict[str, Any]:
    """Serve one stream by the coder of ``order["task"]``; returns what it took. ``order["group"]``: the ranks.

    ``alter`` is for those who prove the certificate: it makes of an evaluation another one. Raises UserError.
    """
    started = time.perf_counter()
    torch.set_num_threads(1)  # batches run side by side instead, order["threads"] of them
    evaluation = evaluation_from(read(Path(order["artifact"])), device=order["device"], overrides=order["overrides"])
    ranks = order.get("group", ONE)
    load_seconds = time.perf_counter() - started
    evaluation = alter(replace(evaluation, workers=order["threads"], ranks=ranks))
    evaluator = evaluation.evaluator(order["stream_tokens"])
    setup_seconds = time.perf_counter() - started
    line = Unheard() if ranks.rank else Line(questions, answers)
    first_tokens = line.open(evaluator.plan.lane_starts, evaluator.plan.side_bits)
    evaluator.run(CODERS[order["task"]](line), first_tokens)
    return {
        "setup_seconds": setup_seconds,
        "score_seconds": time.perf_counter() - started - setup_seconds,
        "core_share": evaluator.core_share.share,
        "parts": {
            "load": load_seconds,
            "compile": evaluator.chain.compile_seconds,
            "prepare": setup_seconds - load_seconds - evaluator.chain.compile_seconds,
            **evaluator.seconds,
        },
        "learns": evaluator.learns,
        "traces": [asdict(trace) for trace in evaluator.chain.traces],
    }
