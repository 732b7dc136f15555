"""``pgolf bench loader``: how fast each loader hands out batches, beside how fast a training step takes them.

The shards are generated: random tokens with a document's start every few hundred, as many as asked for. Every loader
reads ahead of nobody here (``prefetch: false``), so that a batch's whole cost shows; a run reads ahead on a thread.
Loaders and the step take turns in one process, so that a change of load between them does not count. ``share`` is the
time of a batch over that of the step which consumes it: what reading would cost a run if nothing were read ahead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, on_threads, peak, shares, taken
from pgolf.bench.stepper import Stepper
from pgolf.core.command import at_least, guarded

_DOCUMENT_TOKENS = 400


def add_parser(subparsers: Any) -> None:
    """Add ``loader``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "loader",
        help="batches a second of every loader, beside what a training step takes",
        description="Times the batches of an optimizer step from each loader, and an eager or compiled training step "
        "of the default model, in turns. Words as for train.py change both: size=tiny train.batch_tokens=8192.",
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="settings as for train.py")
    parser.add_argument("--tokens", type=at_least(1), default=4_000_000, help="of all shards (default: %(default)s)")
    parser.add_argument("--shards", type=at_least(1), default=16, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=at_least(1), default=20, help="steps of each (default: %(default)s)")
    parser.add_argument("--threads", type=at_least(1), default=1, help="of the training step (default: %(default)s)")
    parser.add_argument("--compiled", action="store_true", help="compile the training step, as a long run does")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.set_defaults(run=guarded("bench loader", _run))


def _run(arguments: argparse.Namespace) -> None:
    """Print the table. Raises ConfigError for words that do not compose."""
    import torch

    from pgolf.config.compose import checked

    cfg = checked(arguments.words)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory(prefix="pgolf-bench-") as folder:
        slices = write_shards(Path(folder), arguments.tokens, arguments.shards, cfg["tokenizer"])
        actions = {name: step_of(node, slices, cfg) for name, node in loader_nodes(arguments.words).items()}
        stepper = Stepper(arguments.words, arguments.compiled)
        seconds = in_turns({**actions, "": stepper.step}, arguments.rounds)
    step = statistics.median(seconds.pop(""))
    rows = {
        name: {
            "batches_per_second": cfg["train"]["accumulation"] / statistics.median(found),
            "tokens_per_second": cfg["train"]["batch_tokens"] / statistics.median(found),
            "share_of_step": statistics.median(found) / step,
        }
        for name, found in seconds.items()
    }
    facts = {
        "batch_tokens": cfg["train"]["batch_tokens"],
        "window": cfg["train"]["window"],
        "step_seconds": step,
        "step_tokens_per_second": cfg["train"]["batch_tokens"] / step,
        "loaders": rows,
    }
    if arguments.json:
        print(json.dumps(facts))
        return
    print(
        f"training step of {facts['batch_tokens']:,} tokens in windows of {facts['window']:,}, "
        f"{'compiled' if arguments.compiled else 'eager'}, {arguments.threads} threads: {1e3 * step:.1f} ms, "
        f"{facts['step_tokens_per_second']:,.0f} tokens/s"
    )
    print(f"{'loader':<20} {'batches/s':>10} {'tokens/s':>14} {'share':>9}")
    for name, row in rows.items():
        print(
            f"{name:<20} {row['batches_per_second']:>10,.0f} {row['tokens_per_second']:>14,.0f} "
            f"{row['share_of_step']:>9.3%}"
        )


def session(setting: Setting) -> LoaderSession:
    """Raises ConfigError for words that do not compose."""
    return LoaderSession(setting)


class LoaderSession:
    """Its part in the table of ``pgolf bench``: every loader, beside copying what it hands out."""

    def __init__(self, setting: Setting) -> None:
        from pgolf.config.compose import checked

        cfg, words = checked(setting.training_words), list(setting.training_words)
        tokens, self.steps = (20_000, 2) if setting.tiny else (1_000_000, 20)
        self.folder = tempfile.TemporaryDirectory(prefix="pgolf-bench-")
        try:
            slices = write_shards(Path(self.folder.name), tokens, 4, cfg["tokenizer"])
            self.loaders = {name: _loader(node, slices, cfg) for name, node in loader_nodes(words).items()}
        except BaseException:
            self.folder.cleanup()
            raise
        self.tokens = cfg["train"]["batch_tokens"] // cfg["train"]["accumulation"]
        self.size = {"words": words, "tokens": tokens, "batch_tokens": self.tokens, "window": cfg["train"]["window"]}

    def round(self) -> Sequence[Reading]:
        found = []
        with on_threads(1) as now:
            copying = peak("copying", now)
            for name, loader in self.loaders.items():
                parts = {"next_batch": 0.0, "state": 0.0}
                moved = 0
                for _ in range(self.steps):
                    began = now()
                    x_BT, y_BT = loader.next_batch()
                    parts["next_batch"] += now() - began
                    parts["state"] += taken(loader.state, now)
                    moved = 2 * (x_BT.nbytes + y_BT.nbytes)  # made and handed over
                rate = self.steps * self.tokens / max(sum(parts.values()), 1e-9)
                floor = copying * self.tokens / moved
                found.append(Reading(name, rate, "tokens/s", floor=floor, of="copying", where=shares(parts)))
        return found

    def close(self) -> None:
        self.folder.cleanup()


def loader_nodes(words: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Every option of the group, by name, without its thread."""
    from pgolf.config.compose import checked
    from pgolf.config.options import conf_dir
    from pgolf.config.preflight import options

    names = options(conf_dir(), "loader")
    return {name: {**checked([*words, f"loader={name}"])["loader"], "prefetch": False} for name in names}


def write_shards(folder: Path, tokens: int, count: int, tokenizer: Mapping[str, Any]) -> tuple[Any, ...]:
    """``count`` shards of random tokens that together have ``tokens``."""
    import numpy as np

    from pgolf.data.shards import shard_name, whole, write_shard
    from pgolf.tokenizer.recipe import BOS_ID, vocab_size

    random = np.random.default_rng(0)
    paths = []
    for index, part in enumerate(np.array_split(np.arange(tokens), count)):
        ids_N = random.integers(BOS_ID + 1, vocab_size(tokenizer), len(part))
        ids_N[random.random(len(part)) < 1 / _DOCUMENT_TOKENS] = BOS_ID
        paths.append(folder / shard_name("train", index))
        write_shard(paths[-1], ids_N)
    return whole(paths)


def step_of(node: Mapping[str, Any], slices: Sequence[Any], cfg: Mapping[str, Any]) -> Callable[[], None]:
    """The batches of an optimizer step on one rank."""
    loader = _loader(node, slices, cfg)

    def step() -> None:
        for _ in range(cfg["train"]["accumulation"]):
            loader.next_batch()
            loader.state()  # reading ahead asks for it with every batch

    return step


def _loader(node: Mapping[str, Any], slices: Sequence[Any], cfg: Mapping[str, Any]) -> Any:
    from pgolf.core.make import make
    from pgolf.tokenizer.recipe import BOS_ID

    train = cfg["train"]
    return make(
        node,
        slices=slices,
        batch_tokens=train["batch_tokens"],
        window=train["window"],
        accumulation=train["accumulation"],
        rank=0,
        world=1,
        seed=0,
        bos_id=BOS_ID,
    )


def in_turns(actions: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each action by name, ``rounds`` times in turns after one round of warm-up."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(1 + rounds):
        for name, action in actions.items():
            began = time.process_time()
            action()
            if turn:
                found[name].append(time.process_time() - began)
    return found
