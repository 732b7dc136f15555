"""Probe (c): every token is scored once, in turn, and the reported number is the sum of those scores.

The slots are write-once where the answers arrive; a second write ends the run with a violation, and so does a question
out of turn. Nothing may be subtracted or replaced between the slots and the report.
"""

from __future__ import annotations

import math

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.proof.context import Context
from pgolf.proof.verdict import Verdict

LETTER, NAME = "c", "single pass"


def probe(context: Context) -> ProbeResult:
    verdict, sealed, reported = Verdict(LETTER, NAME), context.sealed, context.reported
    for violation in sealed.violations:
        if violation.kind == "double_score":
            verdict.require(False, f"the sealed process scored twice: {violation.what}")
        elif violation.kind == "out_of_turn":
            verdict.require(False, f"the sealed process broke off: {violation.what}")
    total = float(np.nansum(sealed.nll_nats_N, dtype=np.float64)) + sealed.side_bits * math.log(2)
    said = reported.val_loss * reported.tokens
    verdict.require(
        math.isclose(total, said, rel_tol=1e-9, abs_tol=1e-9),
        f"the report says {said:.6f} nats, the slots hold {total:.6f}",
    )
    bits = reported.val_bpb * reported.bytes
    verdict.require(
        math.isclose(bits, total / math.log(2), rel_tol=1e-9, abs_tol=1e-9),
        f"the reported {reported.val_bpb:.6f} bits per byte are {bits:.3f} bits, "
        f"the slots hold {total / math.log(2):.3f}",
    )
    scored = int((~np.isnan(sealed.nll_nats_N)).sum())
    verdict.record(slots_written=scored, sum_nats=total, reported_nats=said, side_bits=sealed.side_bits)
    return verdict.result(f"{scored:,} slots written once; their sum is the reported {said:,.3f} nats")
