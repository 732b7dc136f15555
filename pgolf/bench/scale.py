"""``pgolf bench scale``: what things cost as they grow: models, counts, sweeps, reports; measured points and slopes.

    models    a training step of few tokens, eager, at widths and depths from 0.3 to 30 M parameters; memory is the
              highest that a process of its own was resident in, and of that parameters, gradients and optimizer;
              bytes are those forecast for quant=int6_rtn
    counts    the trie of ngram=backoff over a generated text of phrases, whose frequencies fall as words' do: the room
              that it reserves, and what of it is filled
    sweeps    train.py with several seeds, each composed, checked and built and none trained (print_model=true)
    reports   pgolf report, and the history of pgolf runs, over run folders made for it

A slope is what one more costs between the smallest and the largest point; the exponent is that of the power law nearest
to all points, 1 where cost grows as size does. Seconds are CPU seconds. By default the sizes take some minutes.
"""

# T tokens, V vocabulary

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgolf.bench.rounds import on_threads, taken
from pgolf.bench.table import shown
from pgolf.core.command import at_least, guarded, home

if TYPE_CHECKING:
    import numpy as np

# Layers and width; the MLP is three widths wide, heads are 64 or 32 numbers.
MODELS = ((3, 96), (5, 160), (7, 256), (9, 384), (12, 544))
COUNTS, FULL_COUNTS = (100_000, 1_000_000), (100_000, 1_000_000, 10_000_000, 60_000_000)
SWEEPS = (1, 5)
REPORTS, FULL_REPORTS = (10, 100, 1_000), (10, 100, 1_000, 10_000)
PARTS = ("models", "counts", "sweeps", "reports")
_WINDOW = 256
_STEPS = 2
_PHRASES = 50_000
_PIECE = 1 << 20  # tokens that are learnt together


@dataclass(frozen=True, slots=True)
class CostSlope:
    """What ``cost`` does as ``size`` grows. ``each``: of one more; ``exponent``: of the nearest power law."""

    part: str
    size: str
    cost: str
    points: tuple[tuple[float, float], ...]

    @property
    def each(self) -> float:
        (x, y), (x_last, y_last) = self.points[0], self.points[-1]
        return (y_last - y) / (x_last - x)

    @property
    def exponent(self) -> float | None:
        """None where there are no two points of positive cost."""
        logs = [(math.log(x), math.log(y)) for x, y in self.points if x > 0 and y > 0]
        if len(logs) < 2:
            return None
        middle_x, middle_y = (statistics.fmean(values) for values in zip(*logs, strict=True))
        across = sum((x - middle_x) ** 2 for x, _ in logs)
        return sum((x - middle_x) * (y - middle_y) for x, y in logs) / across


def add_parser(subparsers: Any) -> None:
    """Add ``scale``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "scale",
        help="what models, counts, sweeps and reports cost as they grow: measured slopes",
        description="Training steps from 0.3 to 30 M parameters, counts from 0.1 M tokens, runs of a sweep, reports "
        "from 10 runs.",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="(default: all)")
    parser.add_argument(
        "--full", action="store_true", help="counts of 60 M tokens, which take some GB, and 10,000 runs"
    )
    parser.add_argument("--models", type=at_least(2), default=len(MODELS), help="the smallest so many (default: all)")
    parser.add_argument("--threads", type=at_least(1), default=1, help="of a training step (default: %(default)s)")
    parser.add_argument("--json", type=home, metavar="OUT", help="all points as JSON too, in this file")
    parser.set_defaults(run=guarded("bench scale", _run))


def _run(arguments: argparse.Namespace) -> None:
    """Raises UserError where a process that measures ends."""
    from pgolf.core.atomic import write_text_atomic
    from pgolf.core.errors import ConfigError

    if arguments.json is not None and (arguments.json.is_dir() or not arguments.json.parent.is_dir()):
        raise ConfigError(f"--json: {arguments.json}: is no file that could be written")
    parts: Mapping[str, Callable[[], list[CostSlope]]] = {
        "models": lambda: models(MODELS[: arguments.models], arguments.threads),
        "counts": lambda: counts(FULL_COUNTS if arguments.full else COUNTS),
        "sweeps": lambda: sweeps(SWEEPS),
        "reports": lambda: reports(FULL_REPORTS if arguments.full else REPORTS),
    }
    slopes = []
    for name in PARTS:
        if name in arguments.only:
            print(f"{name} …", file=sys.stderr, flush=True)
            slopes += parts[name]()
    print("\n".join(lines(slopes)))
    if arguments.json is not None:
        plain = [asdict(slope) | {"each": slope.each, "exponent": slope.exponent} for slope in slopes]
        write_text_atomic(arguments.json, json.dumps(plain, indent=1) + "\n")


def lines(slopes: Sequence[CostSlope]) -> list[str]:
    """The table: a line for each cost, with its points."""
    from pgolf.report.table import Table

    rows = tuple(
        (
            *(slope.part, slope.cost, f"{slope.each:.3g} a {slope.size}"),
            "" if slope.exponent is None else f"{slope.exponent:.2f}",
            "  ".join(f"{shown(x)}: {shown(y)}" for x, y in slope.points),
        )
        for slope in slopes
    )
    return Table("costs as sizes grow", ("part", "cost", "slope", "exponent", "points"), rows).text()


def models(shapes: Sequence[tuple[int, int]], threads: int) -> list[CostSlope]:
    """Each in a process of its own."""
    rows = [_asked(json.dumps([layers, width, threads])) for layers, width in shapes]
    return [
        CostSlope("models", "parameter", cost, tuple((row["params"], row[key]) for row in rows))
        for cost, key in (
            ("seconds a token", "seconds_a_token"),
            ("peak memory, bytes", "peak_bytes"),
            ("parameters, gradients, optimizer, bytes", "state_bytes"),
            ("artifact, bytes", "artifact_bytes"),
        )
    ]


def _asked(told: str) -> dict[str, float]:
    """Raises UserError where the process ends without an answer."""
    from pgolf.core.errors import UserError

    program = f"from pgolf.bench.scale import tell; tell({told!r})"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(f"the process that trains a model ended with exit status {done.returncode}; see above")
    return json.loads(done.stdout.splitlines()[-1])


def tell(told: str) -> None:
    """Print what a model of those layers and that width costs, as JSON."""
    layers, width, threads = json.loads(told)
    print(json.dumps(model_row(layers, width, threads)))


def model_words(layers: int, width: int) -> list[str]:
    """Of train.py: the default model with this shape."""
    heads = width // (64 if width % 64 == 0 else 32)
    sizes = {"layers": layers, "width": width, "heads": heads, "kv_heads": 1, "mlp_hidden": 3 * width}
    sizes |= {"window": _WINDOW, "batch_tokens": 4 * _WINDOW}
    return ["tokenizer=bpe1024", *(f"size.{name}={number}" for name, number in sizes.items())]


def model_row(layers: int, width: int, threads: int) -> dict[str, float]:
    """Of some training steps, after one that does not count."""
    import torch

    from pgolf.bench.stepper import Stepper
    from pgolf.config.compose import node
    from pgolf.core.make import make
    from pgolf.core.process import peak_memory
    from pgolf.quant.forecast import forecast_packed

    stepper = Stepper(model_words(layers, width), compiled=False)
    model = stepper.model
    stepper.step()
    with on_threads(threads) as now:
        seconds = statistics.median(taken(stepper.step, now) for _ in range(_STEPS))
    parameters = list(model.parameters())
    held = sum(p.nbytes + (p.grad.nbytes if p.grad is not None else 0) for p in parameters)
    held += _tensor_bytes(stepper.optimizer.state())
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    quantizer, compressor = make(node("quant", "int6_rtn")), make(node("compressor", "range"))
    return {
        "params": sum(p.numel() for p in parameters),
        "seconds_a_token": seconds / stepper.tokens,
        "peak_bytes": peak_memory(torch.device("cpu"))[0],
        "state_bytes": held,
        "artifact_bytes": sum(forecast_packed(quantizer, compressor, model.param_specs(), shapes).values()),
    }


def _tensor_bytes(value: Any) -> int:
    """Of all tensors in nested containers."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, Mapping):
        return sum(map(_tensor_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_tensor_bytes, value))
    return 0


def counts(sizes: Sequence[int], vocab_size: int = 4_096) -> list[CostSlope]:
    """Of the trie: the room that it reserves, of which the system gives what is used, and what of it is filled."""
    import numpy as np

    from pgolf.config.compose import node
    from pgolf.core.make import make
    from pgolf.core.prediction import SIGNALS, Facts
    from pgolf.eval.stage import Chain

    memory, filled, seconds = [], [], []
    option = {**node("ngram", "backoff"), "max_memory_mb": 1 << 20}
    for index, size in enumerate((sizes[0], *sizes)):  # the first is done twice: kernels are compiled
        token_T = phrases(size, vocab_size)
        chain = Chain(list(make(option).stages(Facts(vocab_size, 1, size + 1))), list(SIGNALS))

        def learn(chain: Chain = chain, token_T: np.ndarray = token_T) -> None:
            for first in range(0, len(token_T), _PIECE):
                piece_T = token_T[first : first + _PIECE]
                chain.reserve(len(piece_T))
                own_T = np.full(len(piece_T), 1 / vocab_size, dtype=np.float32)
                given = {name: np.ones(len(piece_T), dtype=np.float32) for name in chain.wanted}
                chain.score(own_T, given, np.zeros(len(piece_T), dtype=np.int64), piece_T)

        spent = taken(learn)
        if index:
            arrays = [part for state in chain._states for part in state if isinstance(part, np.ndarray)]
            memory.append((float(size), float(sum(array.nbytes for array in arrays))))
            filled.append((float(size), float(_filled(chain._states[0]))))
            seconds.append((float(size), spent))
    return [
        CostSlope("counts", "token", "room reserved, bytes", tuple(memory)),
        CostSlope("counts", "token", "room filled, bytes", tuple(filled)),
        CostSlope("counts", "token", "seconds", tuple(seconds)),
    ]


def _filled(state: Any) -> int:
    """Bytes of a trie's nodes, entries, hash slots and past that are used."""
    from pgolf.ngram.trie import ENTRIES, HASHED, LEARNT, NODES

    arrays = {NODES: state.node_N4, ENTRIES: state.entry_E4, HASHED: state.slot_H2, LEARNT: state.past_T2}
    return sum(int(state.size_4[which]) * array[0].nbytes for which, array in arrays.items())


def phrases(count: int, vocab_size: int) -> np.ndarray:
    """int64 [T]: a text of phrases of two to six tokens; the n-th commonest of tokens and phrases comes 1/n as often as
    the first. A longer text begins with the shorter."""
    import numpy as np

    random = np.random.default_rng(0)

    def falling(most: int, wanted: int) -> np.ndarray:
        return np.minimum(np.exp(random.random(wanted) * np.log(most)).astype(np.int64), most - 1)

    length_P = random.integers(2, 7, _PHRASES)
    token_P6 = 1 + falling(vocab_size - 1, 6 * _PHRASES).reshape(_PHRASES, 6)
    found: list[np.ndarray] = []
    made = 0
    while made < count:
        chosen_n = falling(_PHRASES, 1 << 16)
        taken_n6 = np.arange(6) < length_P[chosen_n, None]
        found.append(token_P6[chosen_n][taken_n6])
        made += len(found[-1])
    return np.concatenate(found)[:count]


def sweeps(sizes: Sequence[int]) -> list[CostSlope]:
    """CPU seconds of train.py for so many runs that end before they train."""
    return [CostSlope("sweeps", "run", "seconds", tuple((float(size), _sweep(size)) for size in sizes))]


def _sweep(runs: int) -> float:
    """Raises UserError where it fails."""
    import resource

    from pgolf.config.options import conf_dir
    from pgolf.core.errors import UserError

    seeds = ",".join(str(seed) for seed in range(1, runs + 1))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory(prefix="pgolf-sweep-") as folder:
        words = ["-m", f"seed={seeds}", "size=tiny", "tokenizer=bytes", "print_model=true", f"run_root={folder}"]
        script = conf_dir().parent / "train.py"
        environment = {**os.environ, "WANDB_MODE": "disabled"}
        done = subprocess.run(
            [sys.executable, str(script), *words], stdout=subprocess.DEVNULL, cwd=folder, env=environment
        )
    if done.returncode:
        raise UserError(f"a sweep of {runs} runs ended with exit status {done.returncode}; see above")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def reports(sizes: Sequence[int]) -> list[CostSlope]:
    """Of the report and of the history."""
    from pgolf.bench.runs import history, make_runs, report_lines

    found: dict[str, list[tuple[float, float]]] = {"report, seconds": [], "history, seconds": []}
    for index, size in enumerate((sizes[0], *sizes)):  # the first is done twice: modules are loaded
        with TemporaryDirectory(prefix="pgolf-runs-") as folder:
            root = Path(folder)
            make_runs(root, size)
            spent = {
                "report, seconds": taken(partial(report_lines, root)),
                "history, seconds": taken(partial(history, root, (), "-date")),
            }
        for name, seconds in spent.items():
            if index:
                found[name].append((float(size), seconds))
    return [CostSlope("reports", "run", name, tuple(points)) for name, points in found.items()]
