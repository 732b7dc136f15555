"""Probe (b): who sees nothing of the future gives the committed scores.

See ``pgolf.proof.audit``. On a CPU every difference must vanish; where a GPU may choose other kernels for other shapes
none may be large. On both the mean gain of whoever scored, a row's cost less the committed score, must be next to
nothing: its upper bound at 95 %, by the uniform places alone, for the others are not drawn as positions are. Rounding
has no steady sign, so that an honest mean is far below the bound; differences that are spread wider than kernels'
noise raise it, and a mean that costs the author is nobody's gain.
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
# Of the mean gain; a record's margin is 0.005. On a GPU noise of 0.002 a score stays below it at 300 places.
MEAN_GAIN_NATS = 1e-5
GPU_MEAN_GAIN_NATS = 5e-4
_ONE_SIDED = 1.645  # standard errors, 95 %


def tolerance_nats(device: str) -> float:
    """Within which a committed score is that of a row."""
    return TOLERANCE_NATS if device == "cpu" else GPU_TOLERANCE_NATS


def mean_gain_nats(device: str) -> float:
    """What scores may be cheaper than their rows on average."""
    return MEAN_GAIN_NATS if device == "cpu" else GPU_MEAN_GAIN_NATS


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
        verdict.record(largest_difference_nats=audit.largest)
    _mean_gain(context, verdict)
    verdict.record(looked_at=looked, planned=audit.planned, uniform=audit.uniform, apart=apart, seed=audit.seed)
    verdict.record(bound=audit.bound, commitment=context.sealed.commitment)
    return verdict.result(
        f"{looked:,} rows made without the future, largest difference {audit.largest:.1e} nats; at 95 % fewer than "
        f"{audit.bound:.2%} of positions differ",
        seconds=audit.run.seconds,
    )


def _mean_gain(context: Context, verdict: Verdict) -> None:
    gain_n = -context.audit.uniform_difference_n
    if not len(gain_n):
        return
    mean, half = float(gain_n.mean()), _ONE_SIDED * float(gain_n.std()) / math.sqrt(len(gain_n))
    allowed = mean_gain_nats(context.terms.device)
    verdict.require(
        mean + half <= allowed,
        f"committed scores are {mean:+.2g} ± {half:.2g} nats below those of a process that sees no future, by "
        f"{len(gain_n):,} uniform places; {allowed:g} is allowed",
    )
    verdict.record(mean_difference_nats=-mean, half_width_nats=half, gain_allowed_nats=allowed)
