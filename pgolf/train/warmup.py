"""Compile warm-up outside the clock, leaving no trace (spec optimizer §4).

A few real steps make the compiler do its work; then the trainer's whole state is put back, so that a run with and
one without warm-up are the same run. A model that switches routes in mid-training has one graph for each; all are
compiled here, and in each what hooks rehearse.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pgolf.core.threads import CoreShare
from pgolf.train.trainer import Trainer

WARMUP_STEPS = 3


def warm_up(trainer: Trainer, seconds: float) -> float:
    """Up to three steps in each route of the run, then restore everything; returns seconds used.

    Tells ``warmup`` after each step. Once ``seconds`` are over no further round begins; the first round, which
    compiles, is always completed.
    """
    began = time.perf_counter()
    model = trainer.model
    names = [model.active, *(a.route for a in model.activations())]
    total = WARMUP_STEPS * len(names)
    with no_trace(trainer):
        for step in range(total):
            model.use(names[step % len(names)])
            trainer.forward_backward()
            trainer.optimizer.step(1.0, 0.0)
            for hook in trainer.hooks:
                hook.rehearse(trainer)
            trainer.tell("warmup", done=step + 1, total=total)
            over = time.perf_counter() - began > seconds
            if (step + 1) % len(names) == 0 and trainer.replicas.first(over):
                break
    return time.perf_counter() - began


@contextmanager
def no_trace(trainer: Trainer) -> Iterator[None]:
    """Put the trainer, its model and all random state back as they were, whatever happens inside."""
    state = trainer.state()
    try:
        yield
    finally:
        trainer.restore(state)
        trainer.core_share = CoreShare()
