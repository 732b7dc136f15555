"""Probe (a): every row is a distribution.

The scorer says of every position what its row summed to; the judge adds up, in float64, the rows that were handed over.
What is claimed by a function of the target, of counts in too few buckets, of scores multiplied or chosen among, is a
row that sums to more than one (spec validity §3). Where the scorer made no whole rows, since the stream is too long or
they are dear, it says none of that, and the rows that were handed over are all that is known. That is no less of a
proof: what it says of others is the word of the accused.
"""

from __future__ import annotations

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.proof.context import Context
from pgolf.proof.verdict import Verdict

LETTER, NAME = "a", "normalisation"
TOLERANCE = 1e-5  # fp32 rows of 8,192 entries stay within 3e-6


def probe(context: Context) -> ProbeResult:
    verdict, audit, sum_p_N = Verdict(LETTER, NAME), context.audit, context.sealed.sum_p_N
    said = np.abs(sum_p_N - 1.0)
    worst = int(np.nanargmax(said)) if (~np.isnan(said)).any() else 0
    verdict.require(
        not np.isnan(said).any() or bool(np.isnan(said).all()),
        f"of {int(np.isnan(said).sum()):,} positions the scorer does not say what their rows sum to",
    )
    verdict.require(
        not said[worst] > TOLERANCE,
        f"the row that scored position {worst:,} sums to {sum_p_N[worst]:.6g}, so what is claimed is no code length",
    )
    seen = np.abs(audit.sum_n - 1.0)
    if len(seen):
        at = int(np.argmax(np.nan_to_num(seen, nan=np.inf)))
        verdict.require(
            bool(seen[at] <= TOLERANCE),
            f"the row handed over for position {audit.place_n[at]:,} sums to {audit.sum_n[at]:.6g}",
        )
        least = int(np.argmin(np.nan_to_num(audit.least_n, nan=-np.inf)))
        verdict.require(
            bool(audit.least_n[least] >= 0),
            f"the row handed over for position {audit.place_n[least]:,} has an entry of {audit.least_n[least]:.3g}",
        )
        verdict.record(largest_deviation_of_audited=float(seen.max()), least_entry=float(audit.least_n.min()))
    nll_nats_N = context.sealed.nll_nats_N
    cheapest = int(np.nanargmin(nll_nats_N)) if (~np.isnan(nll_nats_N)).any() else 0
    verdict.require(
        not nll_nats_N[cheapest] < -TOLERANCE,
        f"position {cheapest:,} is scored with {nll_nats_N[cheapest]:.3g} nats: a probability above 1",
    )
    deviation = float(np.nanmax(said)) if (~np.isnan(said)).any() else float("nan")
    verdict.record(positions=int((~np.isnan(said)).sum()), largest_deviation=deviation, audited=len(seen))
    if np.isnan(said).all():
        largest = float(seen.max()) if len(seen) else float("nan")
        return verdict.result(f"targets alone were priced; {len(seen):,} rows seen sum to 1 within {largest:.1e}")
    return verdict.result(f"{len(said):,} rows sum to 1 within {deviation:.1e}, {len(seen):,} of them seen")
