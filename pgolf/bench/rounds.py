"""How benchmarks are measured: a session of each, asked for one round after another, and what all of them share.

A module of this package with ``session(setting)`` has a part in the table of ``pgolf bench``. The first round of a
session is not counted: what is compiled or loaded at its first use is by then. With one thread times are CPU seconds,
which other processes disturb little; with more they are wall seconds.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pgolf.bench.figures import BenchResult, Reading, Sheet, gathered, refuse_sizes
from pgolf.core.errors import ConfigError, UserError

ROUNDS = 5
_PEAK_SECONDS = 0.05
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Setting:
    """``tiny``: sizes at which figures mean nothing, to see that all of it runs. ``words``: for the benchmarks of
    training, as for train.py. ``artifact``: a run folder or an artifact, for those that need one."""

    threads: tuple[int, ...] = (1, 2)
    tiny: bool = False
    words: tuple[str, ...] = ()
    artifact: Path | None = None

    @property
    def training_words(self) -> tuple[str, ...]:
        tiny = ("size=tiny", "data=tiny", "tokenizer=bytes") if self.tiny else ()
        return (*tiny, *self.words)

    @property
    def text_words(self) -> tuple[str, ...]:
        """Of benchmarks that read text."""
        return ("size=tiny", "data=tiny", "tokenizer=bytes") if self.tiny else ()


class Session(Protocol):
    """``size`` says what is measured: two sheets are compared only where it is the same."""

    size: Mapping[str, Any]

    def round(self) -> Sequence[Reading]:
        """The same figures each time."""
        ...

    def close(self) -> None: ...


class Benchmark(Protocol):
    def session(self, setting: Setting) -> Session:
        """Raises a UserError, or ImportError, where it cannot run here."""
        ...


def measured(
    bench: Benchmark, setting: Setting, rounds: int, agreed: Callable[[Mapping[str, Any]], None] = lambda size: None
) -> BenchResult:
    """Its figures, or why there are none. ``agreed`` may raise for the size, before anything is measured."""
    try:
        session = bench.session(setting)
    except (UserError, ImportError) as error:
        return BenchResult({}, (), reason_of(error))
    with closing(session):
        agreed(session.size)
        try:
            session.round()
            return BenchResult(dict(session.size), gathered([session.round() for _ in range(rounds)]))
        except (UserError, ImportError) as error:
            return BenchResult(dict(session.size), (), reason_of(error))


def measure_all(
    blank: Sheet, setting: Setting, benches: Mapping[str, Benchmark], old: Sheet | None = None, where: str = ""
) -> Sheet:
    """``blank`` with what each of ``benches`` finds; told on standard error as it goes, since it takes minutes.

    Raises ConfigError where one has another size than in ``old``, which stands at ``where``.
    """
    found = {}
    for name, bench in benches.items():
        before = None if old is None else old.benches.get(name)

        def agreed(size: Mapping[str, Any], name: str = name, before: BenchResult | None = before) -> None:
            if before is not None and not before.reason:
                refuse_sizes(where, name, before.size, size)

        began = time.perf_counter()
        print(f"{name} …", end="", file=sys.stderr, flush=True)
        try:
            found[name] = measured(bench, setting, blank.rounds, agreed)
        finally:
            print(f" {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return replace(blank, benches=found)


def reason_of(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return "; ".join(lines)


@contextmanager
def on_threads(number: int) -> Iterator[Clock]:
    """While it lasts, kernels use so many threads; gives the clock that goes with them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield time.process_time if number == 1 else time.perf_counter
    finally:
        torch.set_num_threads(before)


def peak(name: str, now: Clock) -> float:
    """One of ``figures.PEAKS``, a second, on as many threads as there are now."""
    import torch

    from pgolf.core.peaks import copy_bandwidth, matmul_peak, reads_in_turn

    if name == "copying":
        return copy_bandwidth(_PEAK_SECONDS, now)
    if name == "reads in turn":
        return reads_in_turn(_PEAK_SECONDS, now)
    dtype = {"fp32 products": torch.float32, "bf16 products": torch.bfloat16}[name]
    return matmul_peak(torch.device("cpu"), dtype, _PEAK_SECONDS, now)


def products(dtype: Any) -> str:
    """The name of the peak of matrix products in an autocast dtype, None: plain fp32."""
    import torch

    return "bf16 products" if dtype == torch.bfloat16 else "fp32 products"


def taken(action: Callable[[], object], now: Clock = time.process_time) -> float:
    """Seconds; never none, whatever the clock's finest step."""
    began = now()
    action()
    return max(now() - began, 1e-9)


def threads_word(number: int) -> str:
    return f"{number} thread" if number == 1 else f"{number} threads"


def shares(parts: Mapping[str, float], most: int = 3) -> str:
    """The largest parts of a whole: ``forward 41 %, backward 40 %``."""
    whole = sum(parts.values())
    if whole <= 0:
        return ""
    largest = sorted(parts.items(), key=lambda part: -part[1])[:most]
    return ", ".join(f"{name} {100 * part / whole:.0f} %" for name, part in largest if part > 0)


def blank(setting: Setting, rounds: int) -> Sheet:
    """With what it will say of this machine and no benchmark yet."""
    import numpy
    import torch

    from pgolf.core.process import hardware_name
    from pgolf.core.threads import cores
    from pgolf.track.git import git_facts

    git = git_facts()
    machine = {
        "processor": hardware_name(torch.device("cpu")),
        "cores": cores(),
        "architecture": platform.machine(),
        "system": platform.system(),
    }
    about = {
        "revision": git.sha,
        "changed since": git.dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    return Sheet(machine, about, setting.threads, rounds, {})


def artifact_of(setting: Setting) -> Path:
    """Raises ConfigError where none was given."""
    if setting.artifact is None:
        raise ConfigError("no artifact: --artifact RUN|ARTIFACT names one")
    path = setting.artifact / "artifact.pgolf" if setting.artifact.is_dir() else setting.artifact
    if not path.is_file():
        raise ConfigError(f"--artifact: {path}: there is no such file")
    return path


def add_command(subparsers: Any, name: str, help: str, description: str, bench: Benchmark) -> None:
    """A command that prints this benchmark's part of the table alone."""
    from pgolf.core.command import at_least, guarded

    def run(arguments: argparse.Namespace) -> None:
        from pgolf.bench.table import lines

        setting = Setting(tuple(dict.fromkeys(arguments.threads)), arguments.tiny)
        sheet = replace(blank(setting, arguments.rounds), benches={name: measured(bench, setting, arguments.rounds)})
        if sheet.benches[name].reason:
            raise ConfigError(sheet.benches[name].reason)
        print("\n".join(lines(sheet)))

    parser = subparsers.add_parser(name, help=help, description=description)
    parser.add_argument("--threads", type=at_least(1), nargs="+", default=[1, 2], help="(default: 1 2)")
    parser.add_argument("--rounds", type=at_least(1), default=ROUNDS, help="in turn (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes: does it run?")
    parser.set_defaults(run=guarded(f"bench {name}", run))
