"""``pgolf bench peaks``: what this machine can do at most: matrix products, copying, reads one after another.

These are the floors of the other benchmarks, which measure them again beside their own figures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, add_command, on_threads, peak, threads_word


def add_parser(subparsers: Any) -> None:
    """Add ``peaks``; its handler is set as ``run``."""
    add_command(
        subparsers,
        "peaks",
        "what the machine can do at most: products, copying, reads in turn",
        "Square matrix products in fp32 and, where the processor multiplies it, bf16; copying; reads of which each "
        "gives the place of the next.",
        sys.modules[__name__],
    )


def session(setting: Setting) -> Peaks:
    return Peaks(setting)


class Peaks:
    def __init__(self, setting: Setting) -> None:
        import torch

        from pgolf.core.bfloat16 import is_native

        self.threads = setting.threads
        self.products = ["fp32 products", *(["bf16 products"] if is_native(torch.device("cpu")) else [])]
        self.size = {"products": self.products}

    def round(self) -> Sequence[Reading]:
        return list(self._readings())

    def _readings(self) -> Iterator[Reading]:
        for number in self.threads:
            with on_threads(number) as now:
                beside = threads_word(number)
                for name in self.products:
                    yield Reading(f"{name}, {beside}", peak(name, now) / 1e9, "GFLOP/s")
                yield Reading(f"copying, {beside}", peak("copying", now) / 1e9, "GB/s")
        with on_threads(1) as now:
            yield Reading("reads in turn", 1e9 / peak("reads in turn", now), "ns a read", "less")

    def close(self) -> None: ...
