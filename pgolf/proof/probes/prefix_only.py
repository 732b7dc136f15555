"""Probe (b): who sees nothing of the future gives the committed scores.

See ``pgolf.proof.audit``. On a CPU every difference must vanish; where a GPU may choose other kernels for other shapes
the interval of their mean must hold zero, and none may be large.
"""

from __future__ import annotations

import math

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.proof.context import Context
from pgolf.proof.verdict import Verdict

LETTER, NAME = "b", "prefix-only audit"
TOLERANCE_NATS = 1e-4
GPU_TOLERANCE_NATS = 0.05


def tolerance_nats(device: str) -> float:
    """Within which a committed score is that of a row."""
    return TOLERANCE_NATS if device == "cpu" else GPU_TOLERANCE_NATS


def probe(context: Context) -> ProbeResult:
    verdict, audit = Verdict(LETTER, NAME), context.audit
    for violation in audit.run.violations:
        verdict.require(False, f"the audited process broke off: {violation.what}")
    looked = len(audit.place_n)
    verdict.require(audit.complete, f"{looked:,} of {audit.planned:,} rows were handed over")
    difference_n = audit.difference_n
    size_n = np.nan_to_num(np.abs(difference_n), nan=np.inf)
    apart = int((size_n > tolerance_nats(context.terms.device)).sum())
    if looked:
        at = int(np.argmax(size_n))
        verdict.require(
            not apart,
            f"{apart:,} of {looked:,} committed scores are not those of a process that sees no future; position "
            f"{audit.place_n[at]:,} by {difference_n[at]:+.3g} nats",
        )
        mean, half = float(difference_n.mean()), 1.96 * float(difference_n.std()) / math.sqrt(looked)
        verdict.require(
            context.terms.device == "cpu" or abs(mean) <= half + 1e-6,
            f"committed scores are {mean:+.3g} ± {half:.2g} nats from those of a process that sees no future",
        )
        verdict.record(mean_difference_nats=mean, half_width_nats=half, largest_difference_nats=audit.largest)
    verdict.record(looked_at=looked, planned=audit.planned, uniform=audit.uniform, apart=apart, seed=audit.seed)
    verdict.record(bound=audit.bound, commitment=context.sealed.commitment)
    return verdict.result(
        f"{looked:,} rows made without the future, largest difference {audit.largest:.1e} nats; at 95 % fewer than "
        f"{audit.bound:.2%} of positions differ",
        seconds=audit.run.seconds,
    )
