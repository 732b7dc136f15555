"""A stage: rows of probabilities in, one row out, and learning from each token after its row is written.

An expert of counts, a mixer, a temperature are stages. Two kernels over one state make one:

    predict(state, lane, rows_EV, in_F, row_V, out_S)   the row before the token; may note signals in out_S
    learn(state, lane, rows_EV, in_F, token)            the same inputs, and now the token

and, where no row is wanted, a third may do the work of both for the price of one token's entry:

    score(state, lane, p_E, in_F, token, out_S) -> p    what the row would have had for the token; then learn it
    price(state, lane, rows_EV, in_F, token, out_S) -> p    the same, where that takes the whole rows before it

Right after a token is learnt, a stage that counts may be asked what it knew of it:

    seen(state) -> c    how often the token had followed the context that ``order`` tells of; -1: none was known

Where nobody wants a row, ``predict`` is left out as well, unless ``learn`` goes on from it: a stage says so by its
``learns_from``, which is taken at its word: a test shows of every option that it may be.

All are plain functions that numba compiles, or that run as they are where its compiler is switched off. What they call
may lie in other modules: a cached kernel is one of the files of all of them as they are now (``_filed``). ``state`` is
a NamedTuple of arrays and nothing hides anywhere else, so that a copy of the arrays is a fork. The driver of rows owns
the order: no kernel is ever shown a token before its row is there. That ``score`` and ``price`` give what ``predict``
would have written is not the shape's doing but a test's, and the audit's, which looks at whole rows: benchmarks go
through them, and so do streams too long for whole rows (``pgolf.eval.evaluation.MOST_ENTRIES``) and stages whose rows
are dear (``Stage.dear_rows``).

Shapes: I positions in the order of prediction, E rows in (the network's first), V vocabulary, F signals in, S out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from types import CodeType, FunctionType
from typing import Any

import numpy as np
from numba import typeof, types
from numba.core.dispatcher import Dispatcher

from pgolf.core.compiled import compiled
from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Stage, has_price
from pgolf.core.results import SignalTrace
from pgolf.eval.traces import Traces

_ROWS_ONLY = "{}: makes whole rows only, and has no price for a single token, which a stream this long takes"


class Chain:
    """The stages of one stream at work: each reads the rows of the network and of all experts before it.

    The last is the mixer, whose row is the mixture; with no stages the chain is empty and the network stands alone.
    """

    def __init__(self, stages: Sequence[Stage], offers: Sequence[str], targets: int | None = None) -> None:
        """``targets``: how many there will be, where traces of the signals are wanted."""
        self._stages, self._targets = list(stages), targets
        self._traces: list[dict[str, Traces]] = [{} for _ in stages]
        self._states = [_copied(stage.state) for stage in stages]
        self._bytes, self._seconds = [_bytes(state) for state in self._states], [0.0] * len(stages)
        began = time.perf_counter()
        self._kernels = [
            _compiled(stage.predict, stage.learn, stage.seen or _unseen, typeof(state))
            for stage, state in zip(stages, self._states, strict=True)
        ]
        self.compile_seconds = time.perf_counter() - began
        self._sources, self.wanted = _bound(stages, offers)
        self._read = _read(stages)
        self._buffers: dict[tuple[int, ...], _Buffers] = {}
        self._now: _Buffers | None = None

    def __len__(self) -> int:
        return len(self._stages)

    def check_prices(self) -> None:
        """Raise ConfigError for a stage that has no price for a single token."""
        for stage in self._stages:
            if not has_price(stage):
                raise ConfigError(_ROWS_ONLY.format(stage.name))

    @property
    def takes_rows(self) -> bool:
        """Whether ``score`` wants the network's whole rows."""
        return any(stage.score is None for stage in self._stages)

    def reserve(self, tokens: int) -> None:
        """Make room for so many more tokens."""
        for index, stage in enumerate(self._stages):
            if stage.reserve is not None:
                with self._counting(index):
                    old, new = self._states[index], stage.reserve(self._states[index], tokens)
                self._states[index], self._bytes[index] = new, _bytes((*old, *new))

    @contextmanager
    def _counting(self, index: int) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._seconds[index] += time.perf_counter() - began

    @property
    def seconds(self) -> dict[str, float]:
        """Of each stage, what it has worked so far; of stages of one name together."""
        found: dict[str, float] = {}
        for stage, seconds in zip(self._stages, self._seconds, strict=True):
            found[stage.name] = found.get(stage.name, 0.0) + seconds
        return found

    def take(
        self, own_IV: np.ndarray, signals: Mapping[str, np.ndarray], lane_I: np.ndarray, token_I: np.ndarray
    ) -> None:
        """The network's rows, float32, and signals [I] or [I, W] of the positions to come; ``token_I`` may be filled in
        later.

        Rows and signals may be more than the positions, ``lane_I``: what follows these is not looked at.
        """
        width_n = self._widths(signals)
        shape = *own_IV.shape, *width_n
        if shape not in self._buffers:
            counts_n = [self._counts(index) for index in range(len(self))]
            self._buffers[shape] = _Buffers(self._stages, own_IV.shape, _placed(self._sources, width_n), counts_n)
        self._now = now = self._buffers[shape]
        now.rows_SIEV[:1] = [np.ascontiguousarray(own_IV)[:, None]]
        for rows_IEV in now.rows_SIEV[1:]:
            rows_IEV[:, 0] = own_IV
        now.lane_I, now.token_I = lane_I, token_I
        for name, value_I in signals.items():
            self._pass_on(-1, self.wanted.index(name), _wide(value_I), 0, len(value_I))

    def drive(self, begin: int, known: int, wanted: bool = True) -> None:
        """Rows from ``begin`` on, up to and including the first whose token is not among the ``known``.

        Tokens before ``begin - 1`` have been learnt; that of ``begin - 1`` is now. ``wanted`` False: rows of known
        tokens only where something learns from them.
        """
        for index in range(len(self)):
            self._drive(index, begin, known, wanted or self._read[index])

    def _drive(self, index: int, begin: int, known: int, all_rows: bool = True) -> None:
        now = self._now
        assert now is not None
        stop = min(known + 1, len(now.lane_I))
        rows_IEV, in_IF, out_IS = now.rows_SIEV[index], now.in_SIF[index], now.out_SIS[index]
        to_IEV, e = (now.rows_SIEV[index + 1], index + 1) if index + 1 < len(self) else (now.row_IV[:, None], 0)
        drive, state, met_I = self._kernels[index][0], self._states[index], now.met_SI[index]
        with self._counting(index):
            drive(state, now.lane_I, rows_IEV, in_IF, now.token_I, to_IEV, e, out_IS, met_I, begin, known, all_rows)
        self._note(index, met_I[max(begin - 1, 0) : min(known, len(now.lane_I) - 1)])
        first = begin if all_rows else known
        if first >= stop:
            return
        for later_IEV in now.rows_SIEV[index + 2 :]:
            later_IEV[first:stop, e] = to_IEV[first:stop, e]
        for column in range(out_IS.shape[1]):
            self._pass_on(index, column, _wide(out_IS[first:stop, column]), first, stop)
        self._trace(index, out_IS[first:stop], in_IF[first:stop], now.place_SF[index])
        if self._counts(index):
            off_I = np.abs(to_IEV[first:stop, e].sum(-1) - 1)
            self._add(index, "off", ("off",), off_I[:, None])

    def _counts(self, index: int) -> bool:
        """Whether what the stage knew of each token is traced."""
        return self._targets is not None and self._stages[index].seen is not None

    def _note(self, index: int, met_I: np.ndarray) -> None:
        """What the stage knew of the tokens that it has just learnt, and the millions of bytes that its state takes."""
        if len(met_I):
            value_IS = np.stack([met_I >= 0, met_I > 0, np.full(len(met_I), self._bytes[index] / 1e6)], axis=1)
            self._add(index, "met", ("hit", "target_hit", "mb"), value_IS)

    def _add(self, index: int, kind: str, names: Sequence[str], value_IS: np.ndarray) -> None:
        of_stage, name, targets = self._traces[index], self._stages[index].name, self._targets
        assert targets is not None
        if kind not in of_stage:
            of_stage[kind] = Traces([f"{name}.{what}" for what in names], targets)
        of_stage[kind].add(value_IS)

    def _trace(self, index: int, out_IS: np.ndarray, in_IF: np.ndarray, place_F: Sequence[slice]) -> None:
        """Note what the stage wrote and read."""
        stage = self._stages[index]
        if self._targets is None or not stage.traces:
            return
        column = {name: out_IS[:, s, None] for s, name in enumerate(stage.signals)}
        column = {name: in_IF[:, place] for name, place in zip(stage.needs, place_F, strict=True)} | column
        told = {name: column[name] for name in stage.traces}
        wide = {name: value_IW.shape[1] for name, value_IW in told.items()}
        names = [f"{name}_{w}" if wide[name] > 1 else name for name in told for w in range(wide[name])]
        self._add(index, "signals", names, np.concatenate(list(told.values()), axis=1))

    @property
    def traces(self) -> tuple[SignalTrace, ...]:
        """Of what was driven so far."""
        return tuple(trace for of_stage in self._traces for traces in of_stage.values() for trace in traces.found())

    def finish(self, count: int | None = None) -> None:
        """Learn the last token; ``count``: of so many positions, where the others are not to come after all."""
        for index in range(len(self)):
            self._finish(index, count)

    def _finish(self, index: int, count: int | None = None) -> None:
        now = self._now
        assert now is not None
        last, (_, learn, seen) = (len(now.lane_I) if count is None else count) - 1, self._kernels[index]
        in_F, state, met_I = now.in_SIF[index][last], self._states[index], now.met_SI[index]
        with self._counting(index):
            learn(state, now.lane_I[last], now.rows_SIEV[index][last], in_F, now.token_I[last])
        if self._counts(index):
            met_I[last] = seen(state)
            self._note(index, met_I[last : last + 1])

    @property
    def row_IV(self) -> np.ndarray:
        """The mixture's rows, as far as they have been driven; overwritten by the next positions."""
        assert self._now is not None
        return self._now.row_IV

    def score(
        self, own: np.ndarray, signals: Mapping[str, np.ndarray], lane_I: np.ndarray, token_I: np.ndarray
    ) -> np.ndarray:
        """Probabilities of these tokens, float32 [I], and all of them learnt; ``own``: what the network gives them [I],
        or its whole rows [I, V] where a stage cannot do without.

        The stages before the last such make whole rows. Room must have been reserved. Raises ConfigError for a stage
        that needs rows which are not given, or can only make whole ones itself.
        """
        needy = [index for index, stage in enumerate(self._stages) if stage.score is None]
        p_IE = np.empty((len(own), 1 + len(self._stages)), dtype=np.float32)
        p_IE[:, 0] = own if own.ndim == 1 else own[np.arange(len(own)), token_I]
        told = {(-1, self.wanted.index(name)): _wide(value_I) for name, value_I in signals.items()}
        if needy:
            told |= self._price(needy[-1], own, signals, lane_I, token_I, p_IE)
        for index in range(needy[-1] + 1 if needy else 0, len(self)):
            stage, state = self._stages[index], self._states[index]
            given = [told[source] for source in self._sources[index]]
            in_IF = np.concatenate([np.zeros((len(own), 0), dtype=np.float32), *given], axis=1, dtype=np.float32)
            p_I, out_IS = p_IE[:, index + 1], np.zeros((len(own), len(stage.signals)), dtype=np.float32)
            assert stage.score is not None
            met_I = np.zeros(len(own) if self._counts(index) else 0, dtype=np.int64)
            with self._counting(index):
                drive = _compiled_score(stage.score, stage.seen or _unseen, typeof(state))
                p_I[:] = drive(state, lane_I, np.ascontiguousarray(p_IE[:, : index + 1]), in_IF, token_I, out_IS, met_I)
            self._note(index, met_I)
            self._trace(index, out_IS, in_IF, _beside([value_IW.shape[1] for value_IW in given]))
            told |= {(index, column): _wide(out_IS[:, column]) for column in range(out_IS.shape[1])}
        return p_IE[:, -1].copy()

    def _price(
        self,
        last: int,
        own: np.ndarray,
        signals: Mapping[str, np.ndarray],
        lane_I: np.ndarray,
        token_I: np.ndarray,
        p_IE: np.ndarray,
    ) -> dict[tuple[int, int], np.ndarray]:
        """The stages up to the ``last`` that takes whole rows: probabilities into ``p_IE``; returns their signals."""
        stage, state = self._stages[last], self._states[last]
        if stage.price is None:
            raise ConfigError(_ROWS_ONLY.format(stage.name))
        if own.ndim == 1:
            raise ConfigError(f"{stage.name}: needs the network's whole rows, to price a single token as well")
        self.take(own, signals, lane_I, token_I)
        now = self._now
        assert now is not None
        for index in range(last):
            self._drive(index, 0, len(token_I))
            self._finish(index)
        p_IE[:, : last + 1] = now.rows_SIEV[last][np.arange(len(token_I)), :, token_I]
        in_IF, out_IS, met_I = now.in_SIF[last], now.out_SIS[last], now.met_SI[last]
        with self._counting(last):
            drive = _compiled_score(stage.price, stage.seen or _unseen, typeof(state), True)
            p_IE[:, last + 1] = drive(state, lane_I, now.rows_SIEV[last], in_IF, token_I, out_IS, met_I)
        self._note(last, met_I)
        self._trace(last, out_IS, in_IF, now.place_SF[last])
        columns = ((index, column) for index in range(last + 1) for column in range(now.out_SIS[index].shape[1]))
        return {(index, column): _wide(now.out_SIS[index][:, column]) for index, column in columns}

    def fork(self) -> Chain:
        twin = object.__new__(Chain)
        twin.__dict__.update(self.__dict__)
        twin._states = [_copied(state) for state in self._states]
        twin._traces = [{kind: traces.fork() for kind, traces in of_stage.items()} for of_stage in self._traces]
        twin._bytes, twin._seconds = [*self._bytes], [*self._seconds]
        twin._buffers, twin._now = {}, None
        return twin

    def _pass_on(self, source: int, column: int, value_IW: np.ndarray, begin: int, stop: int) -> None:
        assert self._now is not None
        for reader, sources in enumerate(self._sources):
            for place, offered in zip(self._now.place_SF[reader], sources, strict=True):
                if offered == (source, column):
                    self._now.in_SIF[reader][begin:stop, place] = value_IW

    def _widths(self, signals: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        return tuple(_wide(signals[name]).shape[1] for name in self.wanted)


def _read(stages: Sequence[Stage]) -> list[bool]:
    """Of each stage, whether ``predict`` is needed for learning, its own or that of one after it."""
    read, later = [False] * len(stages), False
    for index, stage in reversed(list(enumerate(stages))):
        read[index] = later or stage.learns_from == "predict"
        later = read[index] or stage.learns_from == "rows"
    return read


def _wide(value_I: np.ndarray) -> np.ndarray:
    """[I] as [I, 1]."""
    return value_I.reshape(len(value_I), -1)


def _placed(sources: Sequence[Sequence[tuple[int, int]]], width_n: Sequence[int]) -> list[list[slice]]:
    """Where among its numbers each stage finds each signal; ``width_n``: of what the network gives."""
    return [_beside([width_n[column] if offerer < 0 else 1 for offerer, column in offered]) for offered in sources]


def _beside(width_n: Sequence[int]) -> list[slice]:
    """Where each lies, where they lie beside each other."""
    return [slice(*pair) for pair in pairwise(np.cumsum([0, *width_n]).tolist())]


def _copied(state: Any) -> Any:
    return type(state)(*(array.copy() for array in state))


def _bytes(arrays: Sequence[np.ndarray]) -> int:
    """Of different arrays."""
    return sum({id(array): array.nbytes for array in arrays}.values())


class _Buffers:
    """What the stages read and write for I positions; kept, since fresh memory costs as much as the work in it.

    Each stage has rows of its own to read, [I, E, V] with E the number of rows before its; nothing of others is there.
    The first one's are the network's as they come. A stage writes into the next one's, the last into ``row_IV``.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        shape: tuple[int, ...],
        place_SF: Sequence[Sequence[slice]],
        counts_n: Sequence[bool],
    ) -> None:
        size, vocab_size = shape
        shapes = [(size, 1 + index, vocab_size) if index else (0, 1, vocab_size) for index in range(len(stages))]
        self.rows_SIEV = [np.empty(shape, dtype=np.float32) for shape in shapes]
        self.row_IV = np.empty((size, vocab_size), dtype=np.float32)
        self.place_SF = place_SF
        widths = [places[-1].stop if places else 0 for places in place_SF]
        self.in_SIF = [np.zeros((size, width), dtype=np.float32) for width in widths]
        self.out_SIS = [np.zeros((size, len(stage.signals)), dtype=np.float32) for stage in stages]
        self.met_SI = [np.zeros(size if counts else 0, dtype=np.int64) for counts in counts_n]
        self.lane_I = self.token_I = np.zeros(size, dtype=np.int64)


def check_signals(stages: Sequence[Stage], offers: Sequence[str]) -> None:
    """Raise ConfigError for a signal that a stage needs and nobody before it offers."""
    _bound(stages, offers)


def _bound(stages: Sequence[Stage], offers: Sequence[str]) -> tuple[list[list[tuple[int, int]]], tuple[str, ...]]:
    """For each stage where its signals come from, (stage or -1 for the network, column); what the network must give.

    Raises ConfigError for one that nobody before it offers.
    """
    wanted = tuple(dict.fromkeys(name for stage in stages for name in stage.needs if name in offers))
    places = {name: (-1, column) for column, name in enumerate(wanted)}
    sources = []
    for index, stage in enumerate(stages):
        missing = [name for name in stage.needs if name not in places]
        if missing:
            known = ", ".join([*offers, *(name for before in stages[:index] for name in before.signals)]) or "none"
            raise ConfigError(f"{stage.name}: needs the signal {missing[0]!r}, which nobody offers; there are {known}")
        sources.append([places[name] for name in stage.needs])
        places |= {name: (index, column) for column, name in enumerate(stage.signals)}
    return sources, wanted


def _drive_plain(
    predict, learn, seen, state, lane_I, rows_IEV, in_IF, token_I, to_IEV, e, out_IS, met_I, begin, known, all_rows
):
    if begin > 0:
        learn(state, lane_I[begin - 1], rows_IEV[begin - 1], in_IF[begin - 1], token_I[begin - 1])
        if len(met_I):
            met_I[begin - 1] = seen(state)
    for i in range(begin, len(lane_I)):
        if all_rows or i >= known:
            predict(state, lane_I[i], rows_IEV[i], in_IF[i], to_IEV[i, e], out_IS[i])
        if i >= known:
            return  # the token of this row is still to come
        if i + 1 < len(lane_I):
            learn(state, lane_I[i], rows_IEV[i], in_IF[i], token_I[i])
            if len(met_I):
                met_I[i] = seen(state)


def _score_plain(score, seen, state, lane_I, p_IE, in_IF, token_I, out_IS, met_I):
    p_I = np.empty(len(lane_I), dtype=np.float32)
    for i in range(len(lane_I)):
        p_I[i] = score(state, lane_I[i], p_IE[i], in_IF[i], token_I[i], out_IS[i])
        if len(met_I):
            met_I[i] = seen(state)
    return p_I


def _unseen(state):
    return -1


@cache
def _compiled(
    predict: Callable[..., None], learn: Callable[..., None], seen: Callable[..., int], state: Any
) -> tuple[Any, Any, Any]:
    """(drive, learn, seen) for these kernels and this type of state."""
    if not isinstance(kernel(_nothing), Dispatcher):  # the compiler is switched off
        return lambda *rest: _drive_plain(predict, learn, seen, *rest), learn, seen
    line, lines, blocks, number = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1], types.int64
    told = types.void(state, number, lines, line, line, line)
    taught = types.void(state, number, lines, line, number)
    driven = types.void(
        types.FunctionType(told), types.FunctionType(taught), types.FunctionType(number(state)),
        state, types.int64[::1], blocks, lines, types.int64[::1], blocks, number, lines, types.int64[::1],
        number, number, types.boolean,
    )  # fmt: skip
    predicts, learns, sees = kernel(predict, told), kernel(learn, taught), _seeing(seen, state)
    drive = kernel(_named(_drive_plain, state), driven)
    return lambda *rest: drive(predicts, learns, sees, *rest), learns, sees


@cache
def _compiled_score(score: Callable[..., float], seen: Callable[..., int], state: Any, from_rows: bool = False) -> Any:
    """What drives ``score``, or ``price`` ``from_rows``, with this type of state; returns the probabilities."""
    if not isinstance(kernel(_nothing), Dispatcher):
        return lambda *rest: _score_plain(score, seen, *rest)
    line, lines, blocks, number = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1], types.int64
    before, all_before = (lines, blocks) if from_rows else (line, lines)
    priced, whole = types.float32(state, number, before, line, number, line), types.int64[::1]
    driven = line(
        types.FunctionType(priced),
        types.FunctionType(number(state)),
        state,
        whole,
        all_before,
        lines,
        whole,
        lines,
        whole,
    )
    scores, sees = kernel(score, priced), _seeing(seen, state)
    drive = kernel(_named(_score_plain, state), driven)
    return lambda *rest: drive(scores, sees, *rest)


@cache
def _seeing(seen: Callable[..., int], state: Any) -> Any:
    return kernel(_named(seen, state), types.int64(state))


def _named(function: Any, state: Any) -> FunctionType:
    """A copy named after the technique: numba keeps one index for a name, and reading it needs every state's class."""
    named = FunctionType(function.__code__, function.__globals__)
    named.__qualname__ = f"{function.__name__}_{state.instance_class.__module__}.{state.instance_class.__qualname__}"
    return named


def _nothing() -> None: ...


def _filed(function: Any) -> Any:
    """A copy whose name tells the state of the other files that its code comes from; itself where there are none.

    numba finds what it keeps on disk by a function's name, and holds it for stale by the function's own file alone:
    what was compiled before an edit of a leaf would be used on.
    """
    files = {code.co_filename for code in _called(function, set())} - {function.__code__.co_filename}
    state = sum(os.stat(path).st_mtime_ns for path in files if os.path.isfile(path))  # a bundle's modules have none
    if not state:
        return function
    filed = FunctionType(function.__code__, function.__globals__, function.__name__)
    filed.__qualname__ = f"{function.__qualname__}_{state}"
    return filed


def _called(function: FunctionType, seen: set[CodeType]) -> set[CodeType]:
    """The code of all functions that it calls by name, directly or through others, and its own."""
    code = function.__code__
    if code not in seen:
        seen.add(code)
        for name in code.co_names:
            other = function.__globals__.get(name)
            if isinstance(other, FunctionType):
                _called(other, seen)
    return seen


def kernel(function: Callable[..., Any], signature: Any = None) -> Any:
    """Compile by numba, now if a signature is given; keep the result on disk where there is a place for it."""
    return compiled(signature, error_model="numpy")(_filed(function))
