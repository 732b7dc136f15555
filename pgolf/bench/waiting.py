"""``pgolf bench waiting``: what it costs how kernels' threads wait for each other, quiet and on a busy machine.

OpenMP's threads spin at the end of every kernel, sleep, or spin for a bounded time and then sleep (decisions 20). One
process for each way holds the compiled training step and the model that evaluation runs; they are asked in turn, A B
C A B C, so that the machine's mood is shared. Evaluation is measured with kernels on all threads, and as the evaluator
does it, batches side by side with one kernel thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting
from pgolf.core.command import at_least, guarded
from pgolf.core.errors import UserError
from pgolf.core.threads import SPINS

WAYS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "bounded": {"GOMP_SPINCOUNT": str(SPINS)},
}
MEASURES = ("train", "kernels", "side by side")
_DECIDED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
_READY = "ready"


def add_parser(subparsers: Any) -> None:
    """Add ``waiting``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "waiting",
        help="how kernels' threads wait: default, passive, bounded; quiet and beside busy processes",
        description="Trains and evaluates a laptop-sized model on random tokens, a few steps of each in turn.",
    )
    parser.add_argument("--size", default="laptop", help="an option of the group size (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least(1), default=5, help="rounds of each (default: %(default)s)")
    parser.add_argument("--steps", type=at_least(1), default=5, help="steps in a round (default: %(default)s)")
    parser.add_argument("--busy", type=at_least(0), default=2, help="busy processes beside (default: %(default)s)")
    parser.add_argument("--compile", choices=("always", "never"), default="always")
    parser.set_defaults(run=guarded("bench waiting", _run))


def _run(arguments: argparse.Namespace) -> None:
    from pgolf.config.options import conf_dir
    from pgolf.config.preflight import option_exists

    option_exists(conf_dir(), "size", arguments.size)
    table = measure(arguments)
    print(f"tokens/s, median of {arguments.rounds} rounds in turn; {os.cpu_count()} cores")
    print(f"{'':<22}" + "".join(f"{measured:>16}" for measured in MEASURES))
    for (beside, way), row in table.items():
        label = f"{way}, {'quiet' if not beside else f'{beside} busy beside'}"
        print(f"{label:<22}" + "".join(f"{row[measured]:>16,.0f}" for measured in MEASURES))
    print(json.dumps([{"beside": b, "way": w, **row} for (b, w), row in table.items()]))


def measure(arguments: argparse.Namespace) -> dict[tuple[int, str], dict[str, float]]:
    """Tokens per second by (busy processes, way), then by what was measured."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    with ExitStack() as stack:
        workers = {way: stack.enter_context(_worker(arguments, way)) for way in WAYS}
        for beside in dict.fromkeys((0, arguments.busy)):
            with _busy(beside):
                rates: dict[tuple[str, str], list[float]] = {}
                for _ in range(arguments.rounds):
                    for way, worker in workers.items():
                        for name, rate in worker.ask().items():
                            rates.setdefault((way, name), []).append(rate)
            for way in WAYS:
                found[beside, way] = {name: statistics.median(rates[way, name]) for name in MEASURES}
    return found


def session(setting: Setting) -> WaitingSession:
    return WaitingSession(setting)


class WaitingSession:
    """Its part in the table of ``pgolf bench``: each way, eager steps, nothing busy beside, on all threads."""

    def __init__(self, setting: Setting) -> None:
        about = argparse.Namespace(size="tiny" if setting.tiny else "laptop", steps=1, compile="never")
        self.stack = ExitStack()
        try:
            self.workers = {way: self.stack.enter_context(_worker(about, way)) for way in WAYS}
        except BaseException:
            self.stack.close()
            raise
        self.size = dict(vars(about))

    def round(self) -> Sequence[Reading]:
        rates = {way: worker.ask() for way, worker in self.workers.items()}
        return [
            Reading(
                f"{name}, {way}",
                rates[way][name],
                "tokens/s",
                floor=max(rates[other][name] for other in rates),
                of="the quickest way",
            )
            for name in MEASURES
            for way in WAYS
        ]

    def close(self) -> None:
        self.stack.close()


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process that measures one round whenever it is sent a line."""

    way: str
    process: subprocess.Popen[str]

    def ask(self) -> dict[str, float]:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, as its silence will tell
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        return json.loads(self.line())

    def line(self) -> str:
        """The next one it prints. Raises UserError where it has ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UserError(
                f"the process that waits the {self.way} way ended with exit status {self.process.wait()}; what it had "
                "to say of that stands above"
            )
        return line


@contextmanager
def _worker(arguments: argparse.Namespace, way: str) -> Iterator[_Worker]:
    environment = {name: value for name, value in os.environ.items() if name not in _DECIDED}
    environment.update(WAYS[way])
    words = json.dumps([arguments.size, arguments.steps, arguments.compile])
    program = f"from pgolf.bench.waiting import serve; serve({words!r})"
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    worker = _Worker(way, child)
    try:
        assert worker.line().strip() == _READY
        yield worker
    finally:
        child.kill()
        child.communicate()  # also closes the pipes


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """``processes`` that want a core each, meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def serve(words: str) -> None:
    """The measuring process: one line of JSON, tokens per second by measure, for each line of standard input."""
    size, steps, compiled = json.loads(words)
    train, evaluate = _prepared(size, compiled)
    train(1), evaluate(1, 1)
    print(_READY, flush=True)
    import torch

    threads = torch.get_num_threads()
    for _ in sys.stdin:
        rates = (train(steps), evaluate(steps, 1), evaluate(steps, threads))
        print(json.dumps(dict(zip(MEASURES, rates, strict=True))), flush=True)


def _prepared(size: str, compiled: str) -> Sequence[Any]:
    """``train(steps)`` and ``evaluate(batches, workers)``, each returning tokens per second."""
    import torch

    from pgolf.bench.stepper import Stepper
    from pgolf.core.process import one_kernel_thread
    from pgolf.core.threads import threaded
    from pgolf.core.vector_math import settle_vector_math

    settle_vector_math()
    stepper = Stepper([f"size={size}"], compiled == "always")

    def train(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            stepper.step()
        return steps * stepper.tokens / (time.perf_counter() - began)

    def forward(_: int) -> None:
        with torch.inference_mode():
            stepper.model.logits(stepper.ids_BT[:, :-1], stepper.window // 4)

    def evaluate(batches: int, workers: int) -> float:
        began = time.perf_counter()
        if workers == 1:
            threaded(forward, range(2 * batches), 1)
        else:
            with one_kernel_thread():
                threaded(forward, range(2 * batches), workers)
        return 2 * batches * stepper.tokens / (time.perf_counter() - began)

    return train, evaluate
