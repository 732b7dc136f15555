"""``pgolf bench train``: tokens a second of training steps, their share of the matmul peak, and where the time goes.

The trainer is that of ``train.py`` as composed by the words of a command line, on random tokens, with its loader,
optimizer and hooks (none that scores, keeps or ends a run). It is measured eager and compiled, on each number of
threads; all take turns, round by round, in one process, with the peak of square products in fp32 and, where the
processor has it, bf16. A line shows medians. Data, forward, backward, clip, optimizer and hooks are laps of the
trainer's own clock. What stands inside forward and backward, the kernel of attention and the head (whose loss and
gradient are made together), is measured alone between steps, on what the model gives it. With one thread times are CPU
seconds, which other processes disturb little; with more they are wall seconds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, products, shares, threads_word
from pgolf.core.command import at_least, guarded

if TYPE_CHECKING:
    from torch import Tensor

    from pgolf.train.trainer import Trainer

WARM_UP = 2
LAPS = ("data", "forward", "backward", "clip", "optimizer", "hooks", "rest")
ALONE = ("attention", "attention backward", "head")
# A bench does not end, score or keep anything; seconds stand still for the schedules.
_ENDLESS = ("budget.train_seconds=1000000000", "budget.train_steps=null")
_STEPS_OF_DATA = 16


def add_parser(subparsers: Any) -> None:
    """Add ``train``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "train",
        help="training steps: tokens a second, share of the matmul peak, where the time goes",
        description="Times training steps as composed by further words, eager and compiled, on 1 and 2 threads.",
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="of train.py's command line, such as size=tiny")
    parser.add_argument("--threads", type=at_least(1), nargs="+", default=[1, 2], help="(default: 1 2)")
    parser.add_argument("--rounds", type=at_least(1), default=5, help="in turn (default: %(default)s)")
    parser.add_argument("--steps", type=at_least(1), default=2, help="in a round (default: %(default)s)")
    parser.add_argument("--eager", action="store_true", help="leave out the compiled steps (minutes to compile)")
    parser.set_defaults(run=guarded("bench train", _run), open_list=("words", str))


def _run(arguments: argparse.Namespace) -> None:
    """Print the table and JSON. Raises ConfigError for words that do not compose."""
    import torch

    threads, before = list(dict.fromkeys(arguments.threads)), torch.get_num_threads()
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(arguments.words, Path(folder), threads, compiled=not arguments.eager)
            for _ in range(arguments.rounds):
                bench.measure(arguments.steps)
            bench.close()
    finally:
        torch.set_num_threads(before)
    print("\n".join(bench.report()))
    print(json.dumps({"words": bench.words, "params": bench.params, "tokens": bench.tokens, "rows": bench.rows()}))


def session(setting: Setting) -> TrainSession:
    """Raises ConfigError for words that do not compose."""
    return TrainSession(setting)


class TrainSession:
    """Its part in the table of ``pgolf bench``: compiled steps; eager ones where sizes are tiny."""

    def __init__(self, setting: Setting) -> None:
        words = [*setting.training_words, *(["train.batch_tokens=128"] if setting.tiny else [])]
        self.folder, self.mode = tempfile.TemporaryDirectory(), "eager" if setting.tiny else "compiled"
        try:
            self.bench = Bench(words, Path(self.folder.name), setting.threads, compiled=not setting.tiny)
        except BaseException:
            self.folder.cleanup()
            raise
        self.size = {"words": words, "tokens": self.bench.tokens, "params": self.bench.params, "mode": self.mode}

    def round(self) -> Sequence[Reading]:
        self.bench.measure(1)
        name, tokens = products(self.bench.precision), self.bench.tokens
        peak = f"{name.split()[0]} peak"
        found = []
        for (number, mode), row in self.bench.found.items():
            if mode == self.mode:
                floor = row[peak][-1] * tokens / self.bench.flops
                laps = shares({lap: row[lap][-1] for lap in LAPS})
                attention, head = _of_step(row, "attention", "attention backward"), _of_step(row, "head")
                rate = tokens / row["step"][-1]
                found.append(
                    Reading(
                        threads_word(number),
                        rate,
                        "tokens/s",
                        floor=floor,
                        of=name,
                        where=f"{laps}; of it attention {attention}, head {head}",
                    )
                )
        return found

    def close(self) -> None:
        self.bench.close()
        self.folder.cleanup()


def _of_step(row: Mapping[str, Sequence[float]], *names: str) -> str:
    """Of a step of the last round."""
    return f"{100 * sum(row[name][-1] for name in names) / row['step'][-1]:.0f} %"


class Bench:
    """The trainers, and what was measured: by (threads, mode) and then by name, a value of each round."""

    def __init__(self, words: Sequence[str], folder: Path, threads: Sequence[int], *, compiled: bool) -> None:
        import torch

        from pgolf.config.compose import checked
        from pgolf.core.process import choose_precision
        from pgolf.train.flops import training_flops

        self.words, self.threads, cfg = list(words), list(threads), checked([*words, *_ENDLESS])
        cpu = torch.device("cpu")
        native = choose_precision("auto", cpu)
        self.peaks = {"fp32": torch.float32, **({"bf16": native} if native is not None else {})}
        self.now: Callable[[], float] = time.perf_counter
        torch._dynamo.reset()
        self.trainers = {"eager": _trainer(cfg, folder, self)}
        if compiled:
            self.trainers["compiled"] = _trainer(cfg, folder, self)
            self.trainers["compiled"].loss.compile_model_part(partial(torch.compile, dynamic=False))  # type: ignore[attr-defined]
        one = self.trainers["eager"]
        self.params, self.tokens = sum(p.numel() for p in one.model.parameters()), cfg["train"]["batch_tokens"]
        self.precision = one.plan.autocast
        self.flops = training_flops(one.model, cfg["train"]["window"]).total * self.tokens
        self.found: defaultdict[tuple[int, str], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.parts = {mode: _parts(one, mode == "compiled") for mode in self.trainers}
        for _, mode in self.turns():
            for _ in range(WARM_UP):
                self.trainers[mode]._step()
                for part in self.parts[mode]:
                    part.run(self.now)

    def turns(self) -> Iterator[tuple[int, str]]:
        """Each (threads, mode), with as many threads and the clock that goes with them while it is looked at."""
        import torch

        for number in self.threads:
            torch.set_num_threads(number)
            self.now = time.process_time if number == 1 else time.perf_counter
            for mode, trainer in self.trainers.items():
                trainer.clock.start()
                yield number, mode

    def measure(self, steps: int) -> None:
        """One round."""
        import torch

        from pgolf.core.peaks import matmul_peak

        for number, mode in self.turns():
            trainer, row = self.trainers[mode], self.found[number, mode]
            began = self.now()
            for _ in range(steps):
                trainer._step()
                trainer.rest()
            row["step"].append((self.now() - began) / steps)
            for lap in LAPS:
                row[lap].append(trainer.clock.laps.get(lap, 0.0) / steps)
            alone = defaultdict(float, dict.fromkeys(ALONE, 0.0))
            for part in self.parts[mode]:
                for name, seconds in part.run(self.now).items():
                    alone[name] += seconds
            for name, seconds in alone.items():
                row[name].append(seconds)
            for name, dtype in self.peaks.items():
                row[f"{name} peak"].append(matmul_peak(torch.device("cpu"), dtype, now=self.now))

    def close(self) -> None:
        for trainer in self.trainers.values():
            trainer.loader.close()

    def rows(self) -> list[dict[str, Any]]:
        """Medians of seconds a step and of rates; the peak is the best that was seen on so many threads."""
        found = []
        for (number, mode), measured in self.found.items():
            row: dict[str, Any] = {"threads": number, "mode": mode}
            row |= {f"{name}_seconds": statistics.median(measured[name]) for name in ("step", *LAPS, *ALONE)}
            row["tokens_per_second"] = self.tokens / row["step_seconds"]
            row["flops_per_second"] = self.flops / row["step_seconds"]
            for name in self.peaks:
                same = (other[f"{name} peak"] for (n, _), other in self.found.items() if n == number)
                row[f"{name}_peak"] = max(rate for rates in same for rate in rates)
                row[f"{name}_share"] = row["flops_per_second"] / row[f"{name}_peak"]
            found.append(row)
        return found

    def report(self) -> list[str]:
        precision = "fp32" if self.precision is None else str(self.precision).removeprefix("torch.")
        rows = self.rows()
        lines = [
            f"{' '.join(self.words) or 'default words'}: {self.params:,} parameters, {self.tokens:,} tokens a step, "
            f"{precision}, {self.flops / 1e9:.1f} GFLOP of products a step"
        ]
        lines += [
            f"peak on {row['threads']} threads: "
            + ", ".join(f"{name} {row[f'{name}_peak'] / 1e9:,.0f} GFLOP/s" for name in self.peaks)
            for row in rows
            if row["mode"] == "eager"
        ]
        shares = ("data", "forward", "backward", "clip", "optimizer", "hooks", "rest", *ALONE)
        labels = [name.replace("attention backward", "att.back") for name in shares]
        lines.append("% of a step's time; attention and head, measured alone, are part of forward and backward")
        lines.append(
            f"{'threads':>7} {'mode':<8} {'tokens/s':>9} {'ms':>7} "
            + " ".join(f"{name + ' peak':>9}" for name in self.peaks)
            + "".join(f" {label:>9}" for label in labels)
        )
        for row in rows:
            lines.append(
                f"{row['threads']:>7} {row['mode']:<8} {row['tokens_per_second']:>9,.0f} "
                f"{1e3 * row['step_seconds']:>7.1f} "
                + " ".join(f"{100 * row[f'{name}_share']:>8.1f}%" for name in self.peaks)
                + "".join(f" {100 * row[f'{name}_seconds'] / row['step_seconds']:>8.1f}%" for name in shares)
            )
        best = max(rows, key=lambda row: row["tokens_per_second"])
        lines.append(f"quickest here: {best['mode']}, {best['threads']} threads")
        return lines


def _trainer(cfg: Mapping[str, Any], folder: Path, bench: Bench) -> Trainer:
    """As ``train.py`` builds it, on random tokens in ``folder``; its clock is the bench's."""
    import numpy as np
    import torch

    from pgolf.build import build_trainer
    from pgolf.core.make import make
    from pgolf.core.process import Process
    from pgolf.data.shards import shard_name, whole, write_shard
    from pgolf.tokenizer.recipe import BOS_ID, vocab_size
    from pgolf.train.clock import TrainClock

    size, path = vocab_size(cfg["tokenizer"]), folder / shard_name("train", 0)
    if not path.exists():
        count = _STEPS_OF_DATA * cfg["train"]["batch_tokens"] + 1
        tokens_N = np.random.default_rng(0).integers(2, size, count).astype(np.uint16)
        tokens_N[:: cfg["train"]["window"]] = BOS_ID
        write_shard(path, tokens_N)
    torch.manual_seed(0)
    model = make(cfg["arch"], vocab_size=size, bos_id=BOS_ID)
    dataset: Any = SimpleNamespace(
        shards={"train": whole([path])}, tokenizer=SimpleNamespace(bos_id=BOS_ID, vocab_size=size)
    )
    trainer = build_trainer(cfg, model, dataset, Process(rank=0, world=1), score_dev=_no_score)
    trainer.clock = TrainClock(now=lambda: bench.now())
    for hook in trainer.hooks:
        hook.at_start(trainer)
    return trainer


def _no_score(state: Any, tokens: int) -> Any:
    raise AssertionError("a bench is never so far that a hook would score")


class _Part:
    """Something of a step alone: ``call`` of inputs that want gradients, ``times`` in a step."""

    def __init__(self, name: str, call: Callable[..., Tensor], inputs: Sequence[Tensor], times: int) -> None:
        self.name, self.call, self.inputs, self.times = name, call, list(inputs), times

    def run(self, now: Callable[[], float]) -> dict[str, float]:
        """Seconds in a step, forward and (of attention) backward."""
        import torch

        began = now()
        y = self.call(*self.inputs)
        middle = now()
        torch.autograd.grad(y, self.inputs, torch.ones_like(y))
        forward, backward = (middle - began) * self.times, (now() - middle) * self.times
        if self.name == "head":  # its gradient is made with the loss
            return {"head": forward + backward}
        return {self.name: forward, f"{self.name} backward": backward}


def _parts(trainer: Trainer, compiled: bool) -> list[_Part]:
    """The head, and each kernel of attention with as many calls as a forward pass has of the same shapes."""
    import torch

    from pgolf.arch.attention.layer import Attention
    from pgolf.arch.head_loss import capped_cross_entropy

    calls: dict[Any, tuple[Attention, tuple[Tensor, ...], Any, int]] = {}
    model, plan = trainer.model, trainer.plan
    layers = [module for module in model.modules() if isinstance(module, Attention)]

    def spied(layer: Attention) -> Callable[..., Tensor]:
        def mix(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
            given = tuple(x.detach().clone().requires_grad_() for x in (q_BTHK, k_BTGK, v_BTGK))
            y_BTHK = Attention.mix(layer, q_BTHK, k_BTGK, v_BTGK, context)
            key = tuple((x.shape, x.dtype) for x in given)
            first = calls.get(key, (layer, given, context, 0))
            calls[key] = (*first[:3], first[3] + 1)
            return y_BTHK

        return mix

    for layer in layers:
        layer.mix = spied(layer)  # type: ignore[method-assign]
    autocast = partial(torch.autocast, "cpu", plan.autocast, enabled=plan.autocast is not None)
    state = trainer.loader.state()
    x_BT, y_BT = trainer.loader.next_batch()
    trainer.loader.restore(state)
    with autocast():
        trainer.model.loss(x_BT, y_BT)
        x_ND = torch.randn(x_BT.numel(), model.output_table.size(1), requires_grad=True)
    for layer in layers:
        del layer.mix

    def of_layer(layer: Attention, context: Any) -> Callable[..., Tensor]:
        def call(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor) -> Tensor:
            return layer.kernel.mix(q_BTHK, k_BTGK, v_BTGK, context)

        compiler = partial(torch.compile, dynamic=False) if compiled else lambda eager: eager
        return _within(autocast, compiler(call))

    table_VD = model.output_table.detach().clone().requires_grad_()
    cap = model.softcap  # type: ignore[attr-defined]
    head = _within(autocast, lambda x, table: capped_cross_entropy(x, table, y_BT.flatten(), cap))
    found = [
        _Part("attention", of_layer(layer, context), given, times) for layer, given, context, times in calls.values()
    ]
    return [*found, _Part("head", head, [x_ND, table_VD], plan.accumulation)]


def _within(context: Callable[[], Any], function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(*inputs: Tensor) -> Tensor:
        with context():
            return function(*inputs)

    return call
