"""The sealed process, seen from outside: it has the artifact, asks for the stream, and answers with scores or rows.

``score_sealed`` starts Python in an empty temporary folder with a minimal environment; the sum of what it answers *is*
the run's score. ``audit_sealed`` starts it again for the certificate: that process is told no target before its row is
handed over, at the places the judge has drawn. What it runs is a ``Source``: the counted script, and then no file of
this package is within its reach. Ranks that share its work it forks before it is closed. What closes it, and what
that leaves open, is described in ``pgolf.eval.isolation`` and ``pgolf.eval.seal``. ``check_sealed`` refuses, before
training, what would keep that process from importing what it needs.

Shapes: N tokens of the stream, N-1 targets, V vocabulary.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from pgolf.core import errors
from pgolf.core.errors import ConfigError, RankLost, UserError
from pgolf.core.json_text import MAX_DEPTH, too_deep
from pgolf.core.protocols import Progress
from pgolf.core.results import Score
from pgolf.eval.blocks import FIRST_TOKEN_BITS, lane_targets
from pgolf.eval.coder import Enough
from pgolf.eval.ending import Ending
from pgolf.eval.evaluation import Terms, make_score
from pgolf.eval.frames import receive, send
from pgolf.eval.home import Home, environment, settings_passed_on
from pgolf.eval.library import IMPORTED, SYSTEM_FILES, origin_of
from pgolf.eval.scorer import stretches
from pgolf.eval.slots import DoubleScore, WriteOnce
from pgolf.eval.source import PackageSource, ScriptSource, Source
from pgolf.eval.traces import traces_told
from pgolf.eval.zygote import Forked

_REPORT = "from pgolf.eval.sealed_child import report; report()"
_START_SECONDS = 60
_STDERR_TAIL_BYTES = 4000

_HERE = PackageSource()

# A sealed process that scores is ended after so many times budget.eval_seconds: late scores are reported, hangs end.
# One that is looked at promised no time: it is ended when it has not come to a further token for that long.
PATIENCE = 4
# Of a message's header and of its payload; prices of blocks and rows are a few megabytes.
_MOST_BYTES = 1 << 22, 1 << 28


class SealedError(UserError):
    """The sealed process crashed, or took longer than it may."""

    exit_status = 1


@dataclass(frozen=True, slots=True)
class Violation:
    """Something the sealed process did that it may not. ``kind``: ``access``, ``double_score``, ``out_of_turn``."""

    kind: str
    event: str
    what: str


@dataclass(frozen=True, slots=True)
class SealedScore:
    """What the sealed process answered.

    ``nll_nats_N, sum_p_N`` float64 [N-1], NaN where none came; ``lane_starts, side_bits`` are what it said of its
    plan; ``seconds`` is wall time, from when the process was closed and let others in until it ended. What the counted
    code does before its first question, unpacking and numba's compiler included, is in it, and ``setup_seconds`` of
    ``facts``: nobody but that code says what it works out there.
    """

    nll_nats_N: np.ndarray
    sum_p_N: np.ndarray
    lane_starts: tuple[int, ...]
    side_bits: float
    seconds: float
    violations: tuple[Violation, ...]
    peak_bytes: int
    facts: Mapping[str, Any]
    place_I: np.ndarray | None = None

    @property
    def complete(self) -> bool:
        return not (np.isnan(self.nll_nats_N).any() or np.isnan(self.sum_p_N).any())

    @property
    def commitment(self) -> str:
        """SHA-256 of the scores, which stand before any place to look at is drawn."""
        return hashlib.sha256(self.nll_nats_N.astype("<f8").tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class SealedRun:
    """How a sealed process ended: its last message, what was refused, how long it took."""

    ended: Mapping[str, Any]
    facts: Mapping[str, Any]
    violations: tuple[Violation, ...]
    seconds: float


class Answering(Protocol):
    """The side that has the stream: answers a message of the sealed process by tokens, or keeps what it said."""

    telling: Telling

    def answer(self, message: Mapping[str, Any], payload: bytes) -> np.ndarray | None:
        """The tokens to send, None for a message that wants no answer.

        Raises DoubleScore, Refused, and Enough where nothing more is wanted of the process.
        """
        ...


class Refused(RuntimeError):
    """The sealed process asked or answered out of turn."""


def score_sealed(
    artifact_path: Path,
    tokens_N: np.ndarray,
    *,
    device: str = "cpu",
    threads: int | None = None,
    ranks: int = 1,
    limit_seconds: float | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    source: Source = _HERE,
    progress: Progress | None = None,
) -> SealedScore:
    """Score the stream ``tokens_N`` (uint16 [N], as ``Evaluation.stream`` gives it) from the artifact alone.

    ``threads`` None: as many as this process uses. ``ranks``: processes that share them, and the work; on GPUs each has
    one of its own. ``source`` is what the process runs.
    Raises the sealed process's own UserError (a damaged artifact, settings that do not fit), SealedError where
    it crashed or ran longer than ``limit_seconds``. A refused access is no exception: see ``violations``.
    """
    listening = _Listening(tokens_N, progress)
    run = run_sealed(
        "score",
        artifact_path,
        len(tokens_N),
        listening,
        device=device,
        threads=threads,
        ranks=ranks,
        limit_seconds=limit_seconds,
        overrides=overrides,
        source=source,
    )
    facts = dict(run.facts)
    return SealedScore(
        nll_nats_N=listening.nll_nats.values_N,
        sum_p_N=listening.sums.values_N,
        lane_starts=listening.telling.lane_starts,
        side_bits=listening.telling.side_bits,
        seconds=run.seconds,
        violations=run.violations,
        peak_bytes=int(facts.pop("peak_bytes", 0)),
        facts=facts,
        place_I=listening.place_I,
    )


class Telling:
    """The stream as it is told, block by block: each lane in its order, and nothing from ``stop_at`` on.

    ``side_bits`` is what the plan said it must be told besides, and the price of what it is told of lanes that end with
    a token (``pgolf.eval.ending``). ``agreed``: the lanes and side bits of a plan that
    stands in the score already; no other is taken. ``place_I``: as of the score. A decoder has one order: were lanes
    only held back each for itself, they could be predicted from each other's future, text that comes twice for nothing.
    And it knows that order before any token: were it for the scorer to choose, which lane comes next could say what its
    token is, log₂ L bits of each for nothing.
    """

    def __init__(
        self,
        tokens_N: np.ndarray,
        agreed: tuple[tuple[int, ...], float] | None = None,
        place_I: np.ndarray | None = None,
    ) -> None:
        self._tokens_N, self._agreed = np.asarray(tokens_N), agreed
        targets = len(self._tokens_N) - 1
        place_I = np.arange(targets) if place_I is None else place_I
        self.turn_N = np.full(targets, targets)  # when a target is scored; what never was comes last
        self.turn_N[place_I] = np.arange(len(place_I))
        self._latest: list[np.ndarray] = []  # by lane, the latest turn of its targets up to each
        self._ending: Ending | None = None
        self._start_L = self._size_L = np.zeros(0, dtype=np.int64)  # of each lane: its first target, and how many
        self._order_L = self._start_L  # the lanes as they lie in the stream
        self.lane_starts: tuple[int, ...] = ()
        self.side_bits = 0.0
        self.told: list[int] = []  # by lane, how many of its targets
        self.told_in_all = 0
        self._beside = 1  # so many lanes are predicted beside each other

    def open(self, message: Mapping[str, Any]) -> np.ndarray:
        """The first token of each lane, or what is told of lanes that end with one."""
        if self.lane_starts:
            raise Refused("said what its plan is, again")
        targets, said, bits = len(self._tokens_N) - 1, message["lane_starts"], float(message["side_bits"])
        if isinstance(said, Mapping):
            token, beside, longest_first = int(said["token"]), int(said["beside"]), bool(said["longest_first"])
            within = said.get("within")  # of which counted scripts made before there was such a thing say nothing
            least, most = map(int, within or (0, 0))
            how = (least, most) if within is not None else None
            self._ending = Ending(token, targets, beside, longest_first, how)
            cut = self._ending.cut(self._tokens_N)
            starts, size_L = tuple(cut.start_D.tolist()), cut.size_D
            told, free, side_bits = np.array(cut.told, dtype=np.int64), 0.0, bits + cut.side_bits
            if self._ending.beside < 1:
                raise Refused(f"said that {self._ending.beside} lanes are predicted beside each other")
        else:
            starts = tuple(int(start) for start in said)
            if not starts or starts[0] != 0 or list(starts) != sorted(set(starts)) or starts[-1] >= targets:
                raise Refused(f"lanes that begin at {starts} are none of a stream with {targets} targets")
            size_L = np.array(lane_targets(starts, targets))
            told, free, side_bits = self._tokens_N[list(starts)], (len(starts) - 1) * FIRST_TOKEN_BITS, bits
        if self._agreed is not None and (starts, side_bits) != self._agreed:
            raise Refused(f"said that its lanes begin at {starts} for {side_bits:g} bits, unlike who scored")
        if not free <= bits < math.inf:
            raise Refused(f"{len(starts)} lanes want {free:g} bits for their first tokens, not {bits:g}")
        self.lane_starts, self.side_bits, self.told = starts, side_bits, [0] * len(starts)
        self._start_L, self._size_L = np.array(starts), size_L
        self._order_L = np.argsort(self._start_L)
        parts = (self.turn_N[start : start + size] for start, size in zip(starts, size_L, strict=True))
        self._latest = [np.maximum.accumulate(turn_n) for turn_n in parts]
        self._beside = min(len(starts), len(starts) if self._ending is None else self._ending.beside)
        return told

    def places(self, said_I: np.ndarray) -> np.ndarray:
        """Where in the stream what the loop calls these places lies. Raises Refused."""
        if self._ending is None:
            return said_I
        lane_I, position_I = np.divmod(said_I, len(self._tokens_N) - 1)
        inside_I = (lane_I >= 0) & (lane_I < len(self.told))
        if not inside_I.all() or (position_I >= self._size_L[lane_I]).any():
            raise Refused("spoke of targets that no lane has")
        return self._start_L[lane_I] + position_I

    def place_of(self, said: int) -> int:
        return int(self.places(np.array([said]))[0])

    def targets(self, message: Mapping[str, Any], stop_at: int | None = None) -> np.ndarray:
        """What may be told of the block that is asked for; ``stop_at``: a place of the stream, whose target and those
        scored after it are not told."""
        lane, start, stop = (int(number) for number in message["ask"])
        known = 0 <= lane < len(self.told)
        if known and self._ending is not None:
            stop = min(stop, self.size(lane))  # it cannot know where that is
            # Told nothing of them, it must not find out that there is another one, or how long one is without an end.
            known = self._ending.counted or not lane or self.told[lane - 1] == self.size(lane - 1)
        if not known or not 0 <= start <= self.told[lane] or stop > self.size(lane):
            raise Refused(f"asked for the targets {start} to {stop} of lane {lane} out of turn")
        first = self.lane_starts[lane]
        if stop_at is not None and stop_at < len(self.turn_N):
            stop = min(stop, int(np.searchsorted(self._latest[lane], self.turn_N[stop_at])))
        self._tell(lane, max(0, stop - self.told[lane]))
        return self._tokens_N[first + 1 + start : first + 1 + max(start, stop)]

    def share(self, last: int) -> tuple[int, int]:
        """(targets that were told, of those up to the place ``last`` in the order of scoring)."""
        wanted = int(self.turn_N[last]) + 1
        return min(self.told_in_all, wanted), wanted

    def one(self, lane: int) -> np.ndarray:
        """The lane's next target alone."""
        place = self.place(lane)
        self._tell(lane, 1)
        return self._tokens_N[place + 1 : place + 2]

    def _tell(self, lane: int, count: int) -> None:
        self.told[lane] += count
        self.told_in_all += count

    def due(self, place_I: np.ndarray) -> np.ndarray:
        """int64 [I], larger for who has its turn later: position by position through the lanes beside each other."""
        lane_I = self._lanes_of(place_I)
        position_I = place_I - self._start_L[lane_I]
        return (lane_I // self._beside * len(self._tokens_N) + position_I) * self._beside + lane_I % self._beside

    def lane_at(self, place: int) -> int:
        """The lane whose next target lies at ``place``. Raises Refused where there is none."""
        lane = int(self._lanes_of(np.array([place]))[0])
        if self.told[lane] < self.size(lane) and self.place(lane) == place:
            return lane
        raise Refused(f"handed over a row for position {place}, which it was not asked for")

    def _lanes_of(self, place_I: np.ndarray) -> np.ndarray:
        return self._order_L[np.searchsorted(self._start_L, place_I, "right", sorter=self._order_L) - 1]

    def place(self, lane: int) -> int:
        """Where in the stream the lane's next target lies: the position that predicts it. Raises Refused."""
        if not 0 <= lane < len(self.told):
            raise Refused(f"asked for a lane {lane} that is not there")
        return self.lane_starts[lane] + self.told[lane]

    def size(self, lane: int) -> int:
        """How many targets the lane has."""
        return int(self._size_L[lane])


class _Listening:
    """Tells everything it is asked for, and writes down each score once, each in its turn."""

    def __init__(self, tokens_N: np.ndarray, progress: Progress | None) -> None:
        self.telling, self._progress = Telling(tokens_N), progress
        self.nll_nats, self.sums = WriteOnce(len(tokens_N) - 1), WriteOnce(len(tokens_N) - 1)
        self._scored: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        self._done, self._last = 0, -1

    @property
    def place_I(self) -> np.ndarray:
        return np.concatenate(self._scored)

    def answer(self, message: Mapping[str, Any], payload: bytes) -> np.ndarray | None:
        if "ready" in message:
            return self.telling.open(message)
        if "ask" in message:
            return self.telling.targets(message)
        if "scores" not in message:
            raise Refused(f"said {sorted(message)}, which is no answer of a scorer")
        numbers = np.frombuffer(payload, dtype="<f8").reshape(3, -1)
        place_I = self.telling.places(numbers[0].astype(np.int64))
        for values, slots in ((numbers[1], self.nll_nats), (numbers[2], self.sums)):
            for start, stop in stretches(place_I):
                self._write(slots, int(place_I[start]), values[start:stop])
        self._in_turn(place_I[~np.isnan(numbers[1])])
        self._done += len(place_I)
        if self._progress is not None:
            self._progress("validation", self._done, len(self.nll_nats.values_N))
        return None

    def _in_turn(self, place_I: np.ndarray) -> None:
        """Raises Refused for a target that is scored after one which comes later."""
        if not self.telling.lane_starts:
            raise Refused("scored before it said what its plan is")
        due_I = self.telling.due(place_I)
        early = np.flatnonzero(np.diff(due_I, prepend=self._last) <= 0)
        if early.size:
            raise Refused(f"scored position {int(place_I[early[0]])} after one that comes later; lanes go in turn")
        self._scored.append(place_I)
        self._last = int(due_I[-1]) if len(due_I) else self._last

    def _write(self, slots: WriteOnce, start: int, values: np.ndarray) -> None:
        """NaN is no score and leaves its slot open."""
        for first, last in _runs(~np.isnan(values)):
            slots.write(start + first, values[first:last])


def run_sealed(
    task: str,
    artifact_path: Path,
    stream_tokens: int,
    answering: Answering,
    *,
    device: str = "cpu",
    threads: int | None = None,
    ranks: int = 1,
    limit_seconds: float | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    source: Source = _HERE,
) -> SealedRun:
    """One sealed process from its start to its end; ``task``: ``score`` or ``audit``. See ``score_sealed``.

    ``limit_seconds`` of an audit are those from one token to the next: what it decodes may be the whole stream.
    """
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    closed: Mapping[str, Any] = {}
    ended: Mapping[str, Any] = {}
    violations: list[Violation] = []
    started = time.perf_counter()
    with Home(source, device) as home, tempfile.TemporaryFile() as log:
        artifact = home.take(artifact_path)
        order = {
            "task": task,
            "parent": os.getpid(),
            "artifact": artifact,
            "script": home.script,
            "program": source.program,
            "places": home.library.places,
            "folders": home.folders,
            "reach": home.reach(artifact),
            "device": device,
            "threads": threads,
            "ranks": ranks,
            "stream_tokens": stream_tokens,
            "overrides": dict(overrides or {}),
        }
        with _child(home, task, log, threads, limit_seconds) as (child, limit):
            assert child.stdin is not None and child.stdout is not None
            try:
                send(child.stdin, order)
                closed = _closed(child.stdout)
                started = time.perf_counter()  # what came before is the judge's work
                if task == "audit":
                    answering = _Onward(answering, limit)
                ended = _converse(child.stdin, child.stdout, answering, home.keep_kernels)
            except DoubleScore as error:
                violations.append(Violation("double_score", "write", str(error)))
            except RankLost as error:
                raise RankLost(f"{error}\n{_tail(log)}") from None
            except UserError:
                raise
            except (Refused, ArithmeticError, LookupError, TypeError, ValueError) as error:  # whatever it said wrong
                violations.append(Violation("out_of_turn", task, str(error)))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise _crash(task, child.wait(), log, limit) from None
    violations += [Violation("access", event, what) for event, what in ended.get("violations", ())]
    facts = {**ended.get("facts", {}), **closed}
    facts |= {
        "threads": threads,
        "ranks": ranks,
        "device": device,
        "overrides": sorted(overrides or {}),
        "code": source.label,
    }
    facts |= {"environment": sorted(environment(threads, Path(), Path())), "system_files": list(SYSTEM_FILES)}
    facts |= {"passed_on": settings_passed_on()}
    facts |= {"script_sha256": source.sha256} if isinstance(source, ScriptSource) else {}
    return SealedRun(ended, facts, tuple(dict.fromkeys(violations)), time.perf_counter() - started)


def check_sealed() -> None:
    """Ask a process started like the sealed one where it would import from; a tenth of a second, before training.

    Raises ConfigError where that process cannot start, or would not find a package that this one finds, or would
    find another copy of it.
    """
    here = {name: origin for name in IMPORTED if (origin := origin_of(name))}
    with Home(_HERE) as home:
        order = {"names": list(here), "places": home.library.places, "folders": []}
        asking = io.BytesIO()
        send(asking, order)
        try:
            with home.start(_REPORT, 1, stderr=subprocess.PIPE) as asked:
                try:
                    out, err = asked.communicate(asking.getvalue(), _START_SECONDS)
                finally:
                    asked.kill()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"evaluation: {sys.executable or 'python'} -I does not start: {error}") from error
    if asked.returncode:
        tail = err.decode(errors="replace").strip()[-_STDERR_TAIL_BYTES:]
        raise ConfigError(f"evaluation: {sys.executable} -I ended with status {asked.returncode}:\n{tail}")
    there = json.loads(out)
    missing = {name: origin for name, origin in here.items() if there[name] != origin}
    if missing:
        files = [Path(origin) for origin in missing.values()]
        places = sorted({str(f.parents[1] if f.name == "__init__.py" else f.parent) for f in files})
        raise ConfigError(
            f"evaluation: the sealed process, which makes the final score, would not find {', '.join(missing)} of "
            f"{', '.join(places)}. It gets the packages that evaluation needs as pip installs them; have them there, "
            "best in a virtual environment"
        )


def final_score(
    terms: Terms,
    tokens_N: np.ndarray,
    sealed: SealedScore,
    subset: bool,
    target_bytes_N: np.ndarray | None = None,
) -> Score:
    """The record of what the sealed process answered; not valid before the certificate says so.

    Where the process broke off, there is no code length: the score is not a number, and probe (f) says why. Where
    targets alone were priced nobody says what rows sum to.
    ``target_bytes_N``: see ``pgolf.eval.evaluation.byte_counts``.
    """
    nll_nats_N, sum_p_N = sealed.nll_nats_N, sealed.sum_p_N
    summed = bool(np.isfinite(sum_p_N).all() and (sum_p_N > 0).all()) or bool(np.isnan(sum_p_N).all())
    whole = bool(np.isfinite(nll_nats_N).all()) and summed
    record = make_score(
        terms,
        tokens_N,
        nll_nats_N if whole else np.zeros_like(nll_nats_N),
        sum_p_N if whole else np.ones_like(sum_p_N),
        side_bits=sealed.side_bits,
        split="val",
        subset=subset,
        seconds=sealed.seconds,
        valid=False,
        target_bytes_N=target_bytes_N,
        traces=traces_told(sealed.facts),
    )
    if whole:
        return record
    nan = math.nan
    return replace(record, val_loss=nan, val_bpb=nan, claimed_bpb=nan, renormalised_bpb=nan)


def _converse(
    questions: IO[bytes], answers: IO[bytes], answering: Answering, at_start: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Answer until the child ends; returns its last message. ``at_start`` comes before the first answer."""
    started = False
    while True:
        message, payload = _heard(answers)
        if "ended" in message:
            return _ended(message)
        if not started:
            at_start()
            started = True
        try:
            tokens = answering.answer(message, payload)
        except Enough:
            send(questions, {"enough": True})
            continue
        if tokens is not None:
            send(questions, {"tokens": len(tokens)}, tokens.astype("<u2").tobytes())


def _closed(answers: IO[bytes]) -> Mapping[str, Any]:
    """What the judge's part of the child found when it had closed it, before it let others in."""
    message, _ = _heard(answers)
    return message["closed"] if "closed" in message else _ended(message)


def _heard(answers: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """The next message of the child, which may be anything. Raises ValueError for one that takes too much, EOFError."""
    try:
        message, payload = receive(answers, _MOST_BYTES)
        deep = too_deep(message)
    except RecursionError:
        deep = True
    if deep:
        raise ValueError(f"a message that is nested more than {MAX_DEPTH} levels deep")
    return message, payload


def _ended(message: dict[str, Any]) -> dict[str, Any]:
    """The child's last message; its user errors are raised here under their own class."""
    if message["ended"] == "error":
        raise getattr(errors, message["class"], UserError)(message["message"])
    pairs = message.get("violations", [])
    if not isinstance(message.get("facts", {}), dict) or any(len(pair) != 2 for pair in pairs):
        raise Refused("ended in words that nobody reads")
    return message


def _runs(scored: np.ndarray) -> Iterator[tuple[int, int]]:
    """The (start, stop) stretches of a boolean array that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], scored, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


class _Limit:
    """Calls ``end`` once ``seconds`` have passed since the start or the latest ``extend``; None: never."""

    def __init__(self, seconds: float | None, end: Callable[[], None]) -> None:
        self.seconds, self.over, self._end = seconds, False, end
        self._since, self._closed = time.monotonic(), threading.Event()
        if seconds is not None:
            threading.Thread(target=self._watch, args=(seconds,), name="pgolf-limit", daemon=True).start()

    def extend(self) -> None:
        self._since = time.monotonic()

    def close(self) -> None:
        self._closed.set()

    def _watch(self, seconds: float) -> None:
        while (left := self._since + seconds - time.monotonic()) > 0:
            if self._closed.wait(left):
                return
        self.over = True
        self._end()


class _Onward:
    """Who answers, where every further token that is told gives the process its time again."""

    def __init__(self, answering: Answering, limit: _Limit) -> None:
        self.telling, self._answering, self._limit, self._told = answering.telling, answering, limit, 0

    def answer(self, message: Mapping[str, Any], payload: bytes) -> np.ndarray | None:
        answer = self._answering.answer(message, payload)
        told = self.telling.told_in_all
        if told > self._told:
            self._told = told
            self._limit.extend()
        return answer


@contextlib.contextmanager
def _child(
    home: Home, task: str, log: Any, threads: int, limit_seconds: float | None
) -> Iterator[tuple[subprocess.Popen[bytes] | Forked, _Limit]]:
    """The sealed process, killed at the latest when the block ends or its time is over."""
    child = home.start_sealed(task, threads, log)
    limit = _Limit(limit_seconds, child.kill)
    try:
        yield child, limit
    finally:
        limit.close()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()  # type: ignore[union-attr]
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5 if sys.exc_info()[0] is None else 0)
        finally:  # a signal may end the waiting
            if sys.platform != "win32":
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)  # with what it may have started
            child.kill()
            child.wait()
        child.stdout.close()  # type: ignore[union-attr]


def _crash(task: str, status: int, log: Any, limit: _Limit) -> SealedError:
    if limit.over:
        said = f"was ended after {limit.seconds:g} s" + (
            " in which it came to no further token" if task == "audit" else ""
        )
        return SealedError(
            f"evaluation: the sealed process {said}; either it hangs or it is slow, and then a larger "
            "budget.eval_seconds gives it longer"
        )
    return SealedError(f"evaluation: the sealed process ended with status {status}:\n{_tail(log)}")


def _tail(log: Any) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _STDERR_TAIL_BYTES))
    return log.read().decode(errors="replace").strip() or "it left no message"
