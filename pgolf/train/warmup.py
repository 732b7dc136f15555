"""Compile warm-up outside the clock, leaving no trace (spec optimizer §4).

A few real steps make the compiler do its work; then weights, optimizer, loader, random state and the active
route are put back, so that a run with and one without warm-up are the same run. A model that switches
routes in mid-training has one graph for each; all are compiled here.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from pgolf.train.trainer import Trainer

WARMUP_STEPS = 3


def warm_up(trainer: Trainer, seconds: float, report: Callable[[int, int], None]) -> float:
    """Up to three steps in each route of the run, then restore everything; returns seconds used.

    Once ``seconds`` are over no further round begins; the first round, which compiles, is always completed.
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
            report(step + 1, total)
            if (step + 1) % len(names) == 0 and time.perf_counter() - began > seconds:
                break
    return time.perf_counter() - began


@contextmanager
def no_trace(trainer: Trainer) -> Iterator[None]:
    """Put the trainer, its model and all random state back as they were, whatever happens inside."""
    model = trainer.model
    active = model.active
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = copy.deepcopy(trainer.optimizer.state_dict())
    loader, tokens = trainer.loader.state_dict(), trainer.tokens
    cpu_rng, numpy_rng, python_rng = torch.get_rng_state(), np.random.get_state(), random.getstate()
    cuda_rng = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        model.load_state_dict(weights)
        model.use(active)
        trainer.optimizer.zero_grad()
        trainer.optimizer.load_state_dict(optimizer)
        trainer.loader.load_state_dict(loader)
        trainer.tokens = tokens
        torch.set_rng_state(cpu_rng)
        np.random.set_state(numpy_rng)
        random.setstate(python_rng)
        if cuda_rng is not None:
            torch.cuda.set_rng_state_all(cuda_rng)
