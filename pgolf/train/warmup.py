"""Compile warm-up outside the clock, leaving no trace (spec optimizer §4).

A few real steps make the compiler do its work; then weights, optimizer, loader and random state are put back,
so that a run with and one without warm-up are the same run.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable

import numpy as np
import torch

from pgolf.train.trainer import Trainer

WARMUP_STEPS = 3


def warm_up(trainer: Trainer, seconds: float, report: Callable[[int, int], None]) -> float:
    """Run up to three steps or ``seconds``, whichever ends first, and restore everything; returns seconds used."""
    began = time.perf_counter()
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    optimizer = copy.deepcopy(trainer.optimizer.state_dict())
    loader = trainer.loader.state_dict()
    cpu_rng, numpy_rng, python_rng = torch.get_rng_state(), np.random.get_state(), random.getstate()
    cuda_rng = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    for step in range(WARMUP_STEPS):
        trainer.forward_backward()
        trainer.optimizer.step(1.0, 0.0)
        report(step + 1, WARMUP_STEPS)
        if time.perf_counter() - began > seconds:
            break
    trainer.model.load_state_dict(weights)
    trainer.optimizer.zero_grad()
    trainer.optimizer.load_state_dict(optimizer)
    trainer.loader.load_state_dict(loader)
    trainer.tokens = 0
    torch.set_rng_state(cpu_rng)
    np.random.set_state(numpy_rng)
    random.setstate(python_rng)
    if cuda_rng is not None:
        torch.cuda.set_rng_state_all(cuda_rng)
    return time.perf_counter() - began
