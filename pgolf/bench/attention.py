"""``pgolf bench attention``: PyTorch's fused attention beside the blocked kernel, alone and in a whole training step.

The first table is one layer's attention, queries, keys and values given; the last line is the training step of a
model at ``size=laptop`` as ``train.py`` takes it, with ``arch/attention=sdpa`` and with the default. Both take turns
in one process, and the factor is the median over the pairs, so that a change of load between them does not count.
With one thread times are CPU seconds, which other processes disturb little; with more they are wall seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, on_threads, peak, products, taken, threads_word
from pgolf.bench.stepper import Stepper
from pgolf.core.command import at_least, guarded

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Action = Callable[[], Any]
WARM_UP = 2
WORDS = ("sdpa", "auto")


def add_parser(subparsers: Any) -> None:
    """Add ``attention``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "attention",
        help="time the kernels of attention on a CPU, alone and in a training step",
        description="Times arch/attention=sdpa beside blocked, in turns: one layer, forward and backward, in fp32 and "
        "bf16; then compiled training steps at size=laptop with sdpa beside the default.",
    )
    parser.add_argument("--windows", type=at_least(1), nargs="+", default=[512, 1024], help="(default: 512 1024)")
    parser.add_argument("--batch", type=at_least(1), default=8, help="windows side by side (default: %(default)s)")
    parser.add_argument("--heads", type=at_least(1), default=2, help="(default: %(default)s)")
    parser.add_argument("--kv-heads", type=at_least(1), default=1, help="(default: %(default)s)")
    parser.add_argument("--head-width", type=at_least(1), default=72, help="(default: %(default)s)")
    parser.add_argument(
        "--block", type=at_least(1), default=128, help="queries that go together (default: %(default)s)"
    )
    parser.add_argument("--threads", type=at_least(1), default=1, help="of the processor (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least(1), default=9, help="pairs of each line (default: %(default)s)")
    parser.add_argument("--compiled", action="store_true", help="compile the kernels (half a minute a line)")
    parser.add_argument(
        "--steps", type=at_least(0), default=9, help="pairs of training steps; 0: none (default: %(default)s)"
    )
    parser.add_argument("--size", default="laptop", help="of the model that steps (default: %(default)s)")
    parser.add_argument("--eager", action="store_true", help="do not compile the training step")
    parser.set_defaults(run=guarded("bench attention", _run))


def _run(arguments: argparse.Namespace) -> None:
    """Print the tables. Raises ConfigError for heads that do not divide and for an unknown size."""
    import torch

    from pgolf.config.options import conf_dir
    from pgolf.config.preflight import option_exists
    from pgolf.core.errors import ConfigError

    option_exists(conf_dir(), "size", arguments.size)
    if arguments.heads % arguments.kv_heads:
        raise ConfigError(f"--heads: {arguments.heads} is no multiple of --kv-heads = {arguments.kv_heads}")
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    print(
        f"{arguments.batch} windows, {arguments.heads} heads of {arguments.head_width}, {arguments.kv_heads} key/value "
        f"heads, blocks of {arguments.block}, {arguments.threads} threads, "
        f"{'compiled' if arguments.compiled else 'eager'}; {'CPU' if arguments.threads == 1 else 'wall'} milliseconds"
    )
    print(f"{'window':>6}  {'dtype':8}  {'pass':16}  {'sdpa':>8}  {'blocked':>8}  sdpa/blocked")
    for window in arguments.windows:
        for dtype in (torch.float32, torch.bfloat16):
            for trains in (False, True):
                found = interleaved(kernels(arguments, window, dtype, trains), arguments.rounds, clock)
                print(
                    f"{window:>6}  {str(dtype).removeprefix('torch.'):8}  "
                    f"{'forward+backward' if trains else 'forward':16}  {_milliseconds(found['sdpa']):8.2f}  "
                    f"{_milliseconds(found['blocked']):8.2f}  {factor(found['sdpa'], found['blocked']):.2f}"
                )
    if arguments.steps:
        print(step_line(arguments.size, arguments.steps, not arguments.eager, clock))


def session(setting: Setting) -> AttentionSession:
    return AttentionSession(setting)


class AttentionSession:
    """Its part in the table of ``pgolf bench``: one layer forward and backward in the precision of training, eager."""

    def __init__(self, setting: Setting) -> None:
        import torch

        from pgolf.core.process import choose_precision

        window, batch, width = (20, 2, 8) if setting.tiny else (512, 8, 72)
        about = argparse.Namespace(batch=batch, heads=2, kv_heads=1, head_width=width, compiled=False)
        about.block = 8 if setting.tiny else 128
        self.threads, dtype = setting.threads, choose_precision("auto", torch.device("cpu"))
        self.of = products(dtype)
        self.kernels = kernels(about, window, dtype or torch.float32, trains=True)
        # two products of the pairs that a causal query sees, and twice as much backward
        self.operations = 3 * 2 * 2 * batch * about.heads * width * window * (window + 1) // 2
        self.size = {"precision": self.of.split()[0], "window": window, **vars(about)}

    def round(self) -> Sequence[Reading]:
        found = []
        for number in self.threads:
            with on_threads(number) as now:
                least = 1e3 * self.operations / peak(self.of, now)
                for name, action in self.kernels.items():
                    spent = 1e3 * taken(action, now)
                    where = f"causal products at their peak {100 * least / spent:.0f} %, all else the rest"
                    label = f"{name}, {threads_word(number)}"
                    found.append(Reading(label, spent, "ms", "less", least, self.of, where))
        return found

    def close(self) -> None: ...


def interleaved(actions: Mapping[str, Action], rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each action by name, ``rounds`` times in turns after a warm-up."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(WARM_UP + rounds):
        for name, action in actions.items():
            began = clock()
            action()
            if turn >= WARM_UP:
                found[name].append(clock() - began)
    return found


def factor(slow: list[float], fast: list[float]) -> float:
    """How many times as long ``slow`` takes: the median over the pairs."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def _milliseconds(seconds: list[float]) -> float:
    return 1e3 * statistics.median(seconds)


def kernels(arguments: argparse.Namespace, window: int, dtype: torch.dtype, trains: bool) -> dict[str, Action]:
    """One call of each kernel on random inputs, with its backward pass where it ``trains``."""
    import torch

    from pgolf.arch.attention.blocked import biases, blocked
    from pgolf.arch.attention.sdpa import fused

    def in_blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return blocked(q, k, v, tuple(biases(q, arguments.kv_heads, arguments.block)))

    given = [
        torch.randn(arguments.batch, window, heads, arguments.head_width).to(dtype).requires_grad_(trains)
        for heads in (arguments.heads, arguments.kv_heads, arguments.kv_heads)
    ]
    weight = torch.randn_like(given[0])

    def call(kernel: Callable[..., Tensor]) -> None:
        y = kernel(*given)
        if trains:
            torch.autograd.grad(y, given, weight)

    torch._dynamo.reset()
    compiler = partial(torch.compile, dynamic=False) if arguments.compiled else lambda kernel: kernel
    return {"sdpa": partial(call, compiler(fused)), "blocked": partial(call, compiler(in_blocks))}


def step_line(size: str, steps: int, compiled: bool, clock: Callable[[], float]) -> str:
    """Training steps of the default model with ``sdpa`` beside the default kernel."""
    import torch

    torch._dynamo.reset()
    models = {word: Stepper([f"size={size}", f"arch/attention={word}"], compiled) for word in WORDS}
    prepared = {}
    for word, model in models.items():
        began = time.perf_counter()
        model.step()
        prepared[word] = time.perf_counter() - began
    found = interleaved({word: model.step for word, model in models.items()}, steps, clock)
    tokens = models["sdpa"].tokens
    parts = (
        f"{word} {_milliseconds(seconds):.0f} ms, {tokens / statistics.median(seconds):,.0f} tokens/s, "
        f"loss {models[word].loss_nats:.4f}, first step {prepared[word]:.0f} s"
        for word, seconds in found.items()
    )
    return (
        f"training step, size={size}, {models['sdpa'].precision}, {'compiled' if compiled else 'eager'}: "
        f"{'; '.join(parts)}; sdpa/auto {factor(found['sdpa'], found['auto']):.2f}"
    )
