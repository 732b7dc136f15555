"""Probe (b): the distribution at a position does not depend on the token it predicts, nor on any later one.

From a fork at a chunk's start the chunk is scored again with (1) every token after position i replaced, (2) only
the target x_{i+1} replaced, (3) only one later token replaced, in the same window where there is one. Then the
distribution at i must be the same, the new target's score must be the *old* distribution's entry for it, and
every score before must be unchanged. Positions: first, middle and last of the chunk, and both sides of a window
and of a batch boundary. A replay ends once the batch that holds position i is scored.

Shapes: K kept positions, V vocabulary, n tokens of the chunk.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pgolf.core.results import ProbeResult
from pgolf.eval.windows import Window, batches
from pgolf.proof.context import Context, Verdict

LETTER, NAME = "b", "prefix perturbation"
LEAST_REPLAYS = 4
KINDS = ("target replaced", "all later tokens replaced", "one later token replaced")


class _Enough(Exception):
    """The batch holding the position has been scored."""


@dataclass(frozen=True)
class _Case:
    chunk: int
    position: int
    kind: str
    where: str


def probe(context: Context, seconds: float) -> ProbeResult:
    verdict = Verdict(LETTER, NAME)
    generator = np.random.default_rng(context.seed)
    cases = _cases(context)
    done: dict[str, int] = {}
    worst_p = worst_nll = 0.0
    longest = 0.0
    compared = 0
    originals: dict[tuple[int, int], tuple[np.ndarray, np.ndarray | None]] = {}
    for case in cases:
        looked_at = sum(done.values())
        if looked_at >= LEAST_REPLAYS and verdict.seconds + longest > seconds:
            break
        began = time.perf_counter()
        key = case.chunk, case.position
        if key not in originals:
            originals[key] = _replay(context, case, context.replay.chunks[case.chunk])
        changed = _perturbed(context, case, generator)
        if changed is None:
            continue
        tokens_n, first_changed = changed
        nll_nats, logp_V = _replay(context, case, tokens_n)
        old_nll_nats, old_logp_V = originals[key]
        first, _ = context.replay.positions(case.chunk)
        free = slice(0, first_changed - 1 - first)  # targets before the first changed token
        worst_nll = max(worst_nll, _largest(nll_nats[free], old_nll_nats[free]))
        compared += int((~np.isnan(nll_nats[free])).sum())
        if logp_V is not None and old_logp_V is not None:
            target = int(tokens_n[case.position + 1 - _offset(context, case.chunk)])
            entry = -nll_nats[case.position - first]
            # One exp for both sides: two libraries' differ in the last bit, and on which processors is chance.
            worst_p = max(worst_p, _largest(np.exp(logp_V), np.exp(old_logp_V)))
            worst_p = max(worst_p, float(abs(np.exp(entry) - np.exp(old_logp_V[target]))))
        done[case.kind] = done.get(case.kind, 0) + 1
        longest = max(longest, time.perf_counter() - began)
        _complain(verdict, context, case, worst_p, worst_nll)
    verdict.record(replays=sum(done.values()), by_kind=done, chunks=sorted({c.chunk for c in cases}))
    verdict.record(positions=sorted({c.position for c in cases}), scores_compared=compared)
    verdict.record(largest_probability_change=worst_p, largest_score_change_nats=worst_nll)
    verdict.record(tolerance=context.tolerance)
    least = min(LEAST_REPLAYS, len(cases))
    verdict.require(
        sum(done.values()) >= least,
        f"not enough looked at: {sum(done.values())} replays, {least} are the least",
    )
    return verdict.result(
        f"{sum(done.values())} replays with changed later tokens; largest change {max(worst_p, worst_nll):.1e}"
    )


def _complain(verdict: Verdict, context: Context, case: _Case, worst_p: float, worst_nll: float) -> None:
    if verdict.problems:
        return
    place = f"position {case.position} ({case.where} of chunk {case.chunk}, {case.kind})"
    verdict.require(
        worst_p <= context.tolerance, f"the distribution at {place} changed by {worst_p:.3g} in probability"
    )
    verdict.require(worst_nll <= context.tolerance, f"scores before {place} changed by up to {worst_nll:.3g} nats")


def _cases(context: Context) -> list[_Case]:
    """All cases, every kind of one place together, the places that say most first."""
    replay, method = context.replay, context.evaluation.method
    places: list[list[tuple[int, int, str]]] = []
    for chunk in replay.chosen:
        first, last = replay.positions(chunk)
        windows = method.plan(first, last)
        if not windows:
            continue
        inner = windows[len(windows) // 2]
        here = [(first, "first"), ((first + last) // 2, "middle"), (last - 1, "last")]
        here += [(inner.stop - 1, "end of a window"), (min(inner.stop, last - 1), "start of a window")]
        boundary = next(batches(windows, method.batch_windows))[-1].stop
        here += [(boundary - 1, "end of a batch"), (min(boundary, last - 1), "start of a batch")]
        places.append([(chunk, position, where) for position, where in _first_of_each(here)])
    cases = []
    for rank in range(max((len(of_chunk) for of_chunk in places), default=0)):
        for of_chunk in places:
            if rank < len(of_chunk):
                chunk, position, where = of_chunk[rank]
                cases += [_Case(chunk, position, kind, where) for kind in KINDS]
    return cases


def _first_of_each(places: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Each position once, under the name it was first listed with."""
    names: dict[int, str] = {}
    for position, where in places:
        names.setdefault(position, where)
    return list(names.items())


def _offset(context: Context, chunk: int) -> int:
    """The stream index of the chunk's first token."""
    return context.replay.positions(chunk)[0] + (chunk > 0)


def _perturbed(context: Context, case: _Case, generator: np.random.Generator) -> tuple[np.ndarray, int] | None:
    """The changed chunk and the stream index of the first changed token; None where nothing later exists."""
    first, last = context.replay.positions(case.chunk)
    offset, vocab_size = _offset(context, case.chunk), context.evaluation.tokenizer.vocab_size
    if case.kind == "target replaced":
        changed = np.array([case.position + 1])
    elif case.kind == "all later tokens replaced":
        changed = np.arange(case.position + 1, last + 1)
    else:
        plan = context.evaluation.method.plan(first, last)
        window = next((w for w in plan if w.first_scored <= case.position < w.stop), None)
        inside = window.stop - 1 if window is not None else 0
        nearest, farthest = case.position + 2, inside if inside >= case.position + 2 else last
        if nearest > farthest:
            return None
        changed = np.array([int(generator.integers(nearest, farthest + 1))])
    tokens_n = context.replay.chunks[case.chunk].copy()
    shift = generator.integers(1, vocab_size, size=len(changed))
    tokens_n[changed - offset] = (tokens_n[changed - offset].astype(np.int64) + shift) % vocab_size
    return tokens_n, int(changed[0])


def _replay(context: Context, case: _Case, tokens_n: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The chunk's scores as far as they were computed (NaN after), and log p_V at the position (None if fused)."""
    evaluator = context.replay.fork_at(case.chunk)
    caught: list[np.ndarray] = []

    def tap(windows: tuple[Window, ...], logp_BKV: Tensor | None) -> None:
        for row, window in enumerate(windows):
            if window.first_scored <= case.position < window.stop:
                if logp_BKV is not None:
                    logp_V = logp_BKV[row, case.position - window.first_scored].double()
                    caught.append(logp_V.cpu().numpy())
                raise _Enough

    evaluator.tap = tap
    with contextlib.suppress(_Enough):
        evaluator.feed(tokens_n)
    first, last = context.replay.positions(case.chunk)
    return evaluator.slots.nll_nats_N[first:last].copy(), caught[0] if caught else None


def _largest(new: np.ndarray, old: np.ndarray) -> float:
    """Largest difference where both are numbers; one that is a number on one side only counts as infinite."""
    if not new.size:
        return 0.0
    if (np.isnan(new) != np.isnan(old)).any():
        return float("inf")
    return float(np.nan_to_num(np.abs(new - old), nan=0.0).max())
