"""Where the training seconds go, tokens a second of late, and the share of the matmul peak that they use.

Every ``every`` steps, of the steps since the last time: ``time/data``, ``/forward``, ``/backward``, ``/clip``,
``/optimizer``, ``/hooks``, ``/rest`` as fractions of their seconds, ``interval_tokens_per_second``, and
``flops_utilisation`` = operations of the model (``pgolf.train.flops``) in a second ÷ the peak of matrix products in the
run's precision, measured on this machine before the clock starts; at the end one line about the whole run.
Source: model-flops utilisation as in PaLM (arXiv 2204.02311), attention counted by its causal pairs.
Cost in bytes: none. Cost in step time: none to speak of; half a second before the clock starts, and a forward pass over
one window, outside the clock, when recurrence is switched on. On a GPU kernels run behind the laps that launch them:
``clip``, which waits for the loss, has most of their time.
Hurts: nothing, it only reads.
"""

from __future__ import annotations

from typing import Any

import torch

from pgolf.core.peaks import matmul_peak
from pgolf.core.ranges import PositiveInt
from pgolf.train.flops import training_flops
from pgolf.train.trainer import Hook, Trainer


class Timing(Hook):
    """``window`` is that of training."""

    def __init__(self, *, every: PositiveInt, window: PositiveInt) -> None:
        self.every, self.window = every, window
        self._flops: dict[str, float] = {}  # of a token, by route
        self._peak = 0.0
        self._laps: dict[str, float] = {}  # up to the last time
        self._done = (0, 0.0)  # tokens and operations
        self._first: tuple[int, int] | None = None  # step and tokens when this process began
        self._operations, self._tokens = 0.0, 0

    def at_start(self, trainer: Trainer) -> None:
        self._peak = matmul_peak(trainer.device, trainer.plan.autocast or torch.float32)
        self._count(trainer)

    def _count(self, trainer: Trainer) -> float:
        active = trainer.model.active
        if active not in self._flops:
            with trainer.clock.paused():
                self._flops[active] = training_flops(trainer.model, self.window).total
        return self._flops[active]

    def at_rest(self, trainer: Trainer) -> None:
        """A process that goes on with a run has its tokens before."""
        if not self._laps and not self._tokens:
            self._tokens = trainer.tokens

    def after_step(self, trainer: Trainer) -> None:
        tokens = trainer.tokens - self._tokens
        self._tokens = trainer.tokens
        self._operations += tokens * self._count(trainer)
        if self._first is None:
            self._first = (trainer.step - 1, trainer.tokens - tokens)
            self._done = (trainer.tokens - tokens, 0.0)
        if trainer.step % self.every == 0:
            laps = dict(trainer.clock.laps)
            spent = {name: seconds - self._laps.get(name, 0.0) for name, seconds in laps.items()}
            tokens, operations = trainer.tokens - self._done[0], self._operations - self._done[1]
            self._laps, self._done = laps, (trainer.tokens, self._operations)
            trainer.tell("timing", series=True, **self._facts(trainer, spent, tokens, operations))

    def _facts(self, trainer: Trainer, spent: dict[str, float], tokens: int, operations: float) -> dict[str, Any]:
        seconds = sum(spent.values())
        if not seconds:
            return {}
        return {
            **{f"time/{name}": part / seconds for name, part in spent.items()},
            "interval_tokens_per_second": tokens / seconds,
            "flops_utilisation": operations / seconds / (self._peak * trainer.replicas.world),
        }

    def at_end(self, trainer: Trainer) -> None:
        if self._first is None:
            return
        facts = self._facts(trainer, dict(trainer.clock.laps), trainer.tokens - self._first[1], self._operations)
        if facts:
            shares = ", ".join(
                f"{name.removeprefix('time/')} {100 * share:.1f} %"
                for name, share in facts.items()
                if name.startswith("time/")
            )
            text = (
                f"{shares}; {facts['interval_tokens_per_second']:,.0f} tokens/s, "
                f"{100 * facts['flops_utilisation']:.1f} % of {self._peak / 1e12:.3g} TFLOP/s"
            )
            trainer.tell("timing", text)
