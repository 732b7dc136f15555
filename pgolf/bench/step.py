"""``pgolf bench step``: a training step's model, loss and optimizer alone, on one batch, compiled as in a run.

What ``pgolf bench train`` measures with the trainer around it. This needs little of the rest, so that ``pgolf bench
--against`` can ask checkouts that are much older for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, add_command, on_threads, peak, products, taken, threads_word


def add_parser(subparsers: Any) -> None:
    """Add ``step``; its handler is set as ``run``."""
    add_command(
        subparsers,
        "step",
        "a training step's model, loss and optimizer alone, on one batch",
        "Tokens a second of a training step without loader, hooks and trainer, beside what its matrix products take "
        "at the peak's rate.",
        sys.modules[__name__],
    )


def session(setting: Setting) -> Steps:
    return Steps(setting)


class Steps:
    def __init__(self, setting: Setting) -> None:
        from pgolf.bench.stepper import Stepper

        with suppress(ImportError):  # one that is older checks elsewhere
            from pgolf.config.compose import checked

            checked(setting.training_words)
        self.threads = setting.threads
        self.stepper = Stepper(setting.training_words, compiled=not setting.tiny)
        self.flops: float | None = None
        with suppress(ImportError):  # a checkout that is older has no count of them
            from pgolf.train.flops import training_flops

            self.flops = training_flops(self.stepper.model, self.stepper.window).total
        self.size = {"words": list(setting.training_words), "tokens": self.stepper.tokens}
        self.size |= {"params": sum(p.numel() for p in self.stepper.model.parameters())}
        self.size |= {"precision": self.stepper.precision, "compiled": not setting.tiny}

    def round(self) -> Sequence[Reading]:
        return list(self._readings())

    def _readings(self) -> Iterator[Reading]:
        name = products(self.stepper.dtype)
        for number in self.threads:
            with on_threads(number) as now:
                rate = self.stepper.tokens / taken(self.stepper.step, now)
                floor = None if self.flops is None else peak(name, now) / self.flops
                # one lap tells products from all else: how long they would take at their peak
                where = "" if floor is None else f"products at their peak {100 * rate / floor:.0f} %, all else the rest"
                of = "" if floor is None else name
                yield Reading(threads_word(number), rate, "tokens/s", floor=floor, of=of, where=where)

    def close(self) -> None: ...
