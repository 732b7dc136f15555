"""Probe (d): every token is scored once, and the reported number is the sum of those scores.

The slots are write-once, in the sealed process and again where its answers arrive; a second write ends the run
with a violation. Watched experts count how many predictions were asked for: more than one per position means a
choice among several. Nothing may be subtracted or replaced between the slots and the report.
"""

from __future__ import annotations

import math

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.eval.slots import DoubleScore, WriteOnce
from pgolf.proof.context import Context, Verdict

LETTER, NAME = "d", "single pass"


def probe(context: Context, seconds: float) -> ProbeResult:
    verdict, replay = Verdict(LETTER, NAME), context.replay
    for violation in context.sealed.violations:
        if violation.kind == "double_score":
            verdict.require(False, f"the sealed process scored twice: {violation.what}")
    predictions = positions = 0
    for chunk in replay.chosen:
        if positions and verdict.seconds > seconds:
            break
        try:
            evaluator, experts, returned = replay.watched(chunk)
        except DoubleScore as error:
            verdict.require(False, f"in chunk {chunk} a slot was written twice: {error}")
            continue
        first, last = replay.positions(chunk)
        for number, expert in enumerate(experts):
            asked = sum(event.positions for event in expert.events if event.kind == "predict")
            predictions += asked
            verdict.require(
                asked <= last - first,
                f"expert {number} was asked for {asked:,} predictions for the {last - first:,} positions of chunk "
                f"{chunk}: tokens are scored more than once",
            )
        positions += last - first
        written = evaluator.slots.nll_nats_N[first:last]
        verdict.require(type(evaluator.slots) is WriteOnce, "the slots are not the write-once array")
        verdict.require(int(evaluator.slots.writes_N.max()) <= 1, "a slot was written more than once")
        verdict.require(
            np.array_equal(written, returned, equal_nan=True),
            f"what chunk {chunk} returned is not what its slots hold",
        )
    total = float(np.nansum(context.sealed.nll_nats_N, dtype=np.float64))
    scored = int((~np.isnan(context.sealed.nll_nats_N)).sum())
    reported = context.reported.val_loss * context.reported.tokens
    verdict.require(
        math.isclose(total, reported, rel_tol=1e-9, abs_tol=1e-9),
        f"the report says {reported:.6f} nats, the slots hold {total:.6f}",
    )
    bits = context.reported.val_bpb * context.reported.bytes
    verdict.require(
        math.isclose(bits, total / math.log(2), rel_tol=1e-9, abs_tol=1e-9),
        f"the reported {context.reported.val_bpb:.6f} bits per byte are {bits:.3f} bits, "
        f"the slots hold {total / math.log(2):.3f}",
    )
    verdict.record(predictions=predictions, positions_counted=positions, slots_written=scored, sum_nats=total)
    verdict.record(reported_nats=reported)
    return verdict.result(f"{scored} slots written once; their sum is the reported {reported:.3f} nats")
