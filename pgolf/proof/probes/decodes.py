"""Probe (f): a stretch of the stream comes out of bytes, and they are no more than its scores. See
``pgolf.proof.decoding``."""

from __future__ import annotations

import math

from pgolf.core.results import ProbeResult
from pgolf.proof.context import Context
from pgolf.proof.verdict import Verdict

LETTER, NAME = "f", "decoding"
# What a range coder of 24 bits may take over a code length: its end, and by token what 2^-24 of V comes to.
END_BITS = 48.0
TOKEN_BITS = 0.005


def probe(context: Context) -> ProbeResult:
    verdict, decoding = Verdict(LETTER, NAME), context.decoding
    if decoding is None:
        verdict.require(False, "not tried, since the audit found what no decoder could repeat")
        return verdict.result("")
    stretch = decoding.stretch
    for violation in decoding.run.violations:
        verdict.require(False, f"the decoding process broke off: {violation.what}")
    verdict.require(decoding.decoded == len(stretch), f"{decoding.decoded:,} of {len(stretch):,} tokens were decoded")
    claimed_bits = float(context.sealed.nll_nats_N[stretch.start : stretch.stop].sum()) / math.log(2)
    bits = 8 * decoding.coded_bytes
    verdict.require(
        bits <= claimed_bits + END_BITS + TOKEN_BITS * len(stretch),
        f"{len(stretch):,} tokens take {decoding.coded_bytes:,} bytes; their scores say {claimed_bits / 8:,.1f}",
    )
    verdict.record(tokens=len(stretch), start=stretch.start, coded_bytes=decoding.coded_bytes)
    verdict.record(decoded=decoding.decoded, claimed_bits=claimed_bits)
    return verdict.result(
        f"{len(stretch):,} tokens from {stretch.start:,} on decoded from {decoding.coded_bytes:,} bytes; their scores "
        f"say {claimed_bits / 8:,.1f}",
        seconds=decoding.run.seconds,
    )
