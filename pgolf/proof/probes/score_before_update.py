"""Probe (c): a token's score uses only state from before any update that involves the token.

Watched: while a chunk is scored the state of every expert is fingerprinted at each prediction and must be the
one from the chunk's start; `observe` comes after the last prediction, once per expert, with exactly the
chunk's tokens. Dynamic: with all learning switched off a chunk's scores are unchanged, and noise in a chunk
leaves the scores of the chunk before unchanged. Whether the evaluation is track A (nothing changes) or B is read
off the same fingerprints.
"""

from __future__ import annotations

import time

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.proof.context import Context, Verdict
from pgolf.proof.spies import WatchedExpert, deafen

LETTER, NAME = "c", "score before update"


def probe(context: Context, seconds: float) -> ProbeResult:
    verdict, replay = Verdict(LETTER, NAME), context.replay
    looked_at: list[int] = []
    predictions = 0
    unlearnt = noise = 0.0
    longest = 0.0
    for chunk in replay.chosen:
        if looked_at and verdict.seconds + longest > seconds:
            break
        began = time.perf_counter()
        _, experts, _ = replay.watched(chunk)
        for number, expert in enumerate(experts):
            predictions += _order(verdict, chunk, number, expert, replay.chunks[chunk])
        unlearnt = max(unlearnt, _without_learning(context, chunk))
        if chunk > 0:
            noise = max(noise, _noise_after(context, chunk))
        looked_at.append(chunk)
        longest = max(longest, time.perf_counter() - began)
    verdict.require(
        unlearnt <= context.tolerance,
        f"with the chunk's own update switched off its scores change by up to {unlearnt:.3g} nats: "
        "they were computed after learning from the chunk",
    )
    verdict.require(
        noise <= context.tolerance, f"noise in a chunk changes scores of the chunk before by {noise:.3g} nats"
    )
    verdict.record(chunks=looked_at, predictions_watched=predictions, tolerance=context.tolerance)
    verdict.record(change_without_own_update_nats=unlearnt, change_by_later_noise_nats=noise)
    verdict.record(experts_learn=replay.experts_learn, mixer_learns=replay.mixer_learns)
    return verdict.result(f"{predictions} predictions in {len(looked_at)} chunks, all before their chunk's update")


def _order(verdict: Verdict, chunk: int, number: int, expert: WatchedExpert, tokens_n: np.ndarray) -> int:
    """Check one expert's events while ``chunk`` was fed; returns how many predictions there were."""
    kinds = [event.kind for event in expert.events]
    predicted = [event for event in expert.events if event.kind == "predict"]
    observed = [event for event in expert.events if event.kind == "observe"]
    who = f"expert {number} in chunk {chunk}"
    early = "observe" in kinds and "predict" in kinds[kinds.index("observe") :]
    verdict.require(not early, f"{who} predicted tokens it had already been shown")
    states = {event.state for event in predicted}
    verdict.require(len(states) <= 1, f"{who} changed its state {len(states) - 1} times while the chunk was scored")
    shown = np.concatenate([event.tokens for event in observed]) if observed else np.zeros(0)
    verdict.require(
        np.array_equal(shown, tokens_n),
        f"{who} was shown {len(shown)} tokens, not the chunk's {len(tokens_n)}, in order",
    )
    return len(predicted)


def _without_learning(context: Context, chunk: int) -> float:
    """Largest change of the chunk's scores when nothing learns from it."""
    evaluator = context.replay.fork_at(chunk)
    deafen(evaluator)
    evaluator.feed(context.replay.chunks[chunk])
    first, last = context.replay.positions(chunk)
    return _change(evaluator.slots.nll_nats_N[first:last], context.replay.baseline(chunk))


def _noise_after(context: Context, chunk: int) -> float:
    """Largest change of the scores of the chunk before when ``chunk`` is replaced by random tokens."""
    evaluator, tokens_n = context.replay.fork_at(chunk - 1), context.replay.chunks[chunk]
    evaluator.feed(context.replay.chunks[chunk - 1])
    first, last = context.replay.positions(chunk - 1)
    before = evaluator.slots.nll_nats_N[first:last].copy()
    generator = np.random.default_rng(context.seed)
    evaluator.feed(generator.integers(0, context.evaluation.tokenizer.vocab_size, size=len(tokens_n)))
    return _change(evaluator.slots.nll_nats_N[first:last], before)


def _change(new: np.ndarray, old: np.ndarray) -> float:
    difference = np.abs(new - old)
    return 0.0 if np.isnan(difference).all() else float(np.nanmax(difference))
