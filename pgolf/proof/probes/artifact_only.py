"""Probe (f): the score needs the artifact and the stream, nothing else.

The run's score comes from a fresh process in an empty folder that was sealed before it opened the artifact and
was sent each chunk only after it had answered for the one before. This probe requires that nothing was refused,
that the reveal order held, that the artifact is the one whose hash was written down, and that this process
computes the same scores for sampled chunks. What the seal cannot see is stated in ``pgolf.eval.seal``.
"""

from __future__ import annotations

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.proof.context import Context, Verdict

LETTER, NAME = "f", "artifact only"
MEAN_TOLERANCE_NATS = 1e-6
TOKEN_TOLERANCE_NATS = 1e-4


def probe(context: Context, seconds: float) -> ProbeResult:
    verdict, sealed = Verdict(LETTER, NAME), context.sealed
    refused = [violation for violation in sealed.violations if violation.kind == "access"]
    for violation in refused[:3]:
        verdict.require(False, f"the sealed process was refused {violation.event} of {violation.what}")
    _reveal_order(context, verdict)
    entries = sealed.facts.get("working_directory_entries")
    verdict.require(entries == 0, f"the working folder of the sealed process held {entries} entries, not none")
    found = sealed.facts.get("artifact_sha256")
    verdict.require(
        context.artifact_sha256 in (None, found),
        f"the sealed process read an artifact with hash {found}, not {context.artifact_sha256}",
    )
    compared = _same_scores(context, verdict, seconds)
    verdict.record(refused=len(refused), chunks_revealed=len(sealed.reveals), peak_bytes=sealed.peak_bytes)
    verdict.record(sealed_seconds=sealed.seconds, artifact_sha256=found)
    verdict.record({key: value for key, value in sealed.facts.items() if key != "artifact_sha256"})
    return verdict.result(
        f"nothing else was asked for in {len(sealed.reveals)} chunks; {compared:,} scores recomputed alike"
    )


def _reveal_order(context: Context, verdict: Verdict) -> None:
    """Tokens sent never run ahead of positions answered by more than one chunk (and the free token)."""
    chunk_tokens, answered = context.evaluation.method.chunk_tokens, 0
    for number, (sent, answer) in enumerate(context.sealed.reveals):
        ahead = sent - 1 - answered
        verdict.require(
            ahead <= chunk_tokens,
            f"chunk {number} revealed {ahead:,} unscored tokens, more than the {chunk_tokens:,} of a chunk",
        )
        verdict.require(answer == sent - 1, f"chunk {number} was answered up to position {answer:,}, not {sent - 1:,}")
        answered = answer


def _same_scores(context: Context, verdict: Verdict, seconds: float) -> int:
    """Recompute chunks here; returns how many scores were compared."""
    compared, worst_mean, worst_token = 0, 0.0, 0.0
    for chunk in context.replay.chosen:
        if compared and verdict.seconds > seconds:
            break
        difference = context.replay.baseline(chunk) - context.sealed.nll_nats_N[slice(*context.replay.positions(chunk))]
        difference = difference[~np.isnan(difference)]
        if difference.size:
            compared += difference.size
            worst_mean = max(worst_mean, abs(float(difference.mean())))
            worst_token = max(worst_token, float(np.abs(difference).max()))
    verdict.require(compared > 0, "not enough looked at: no score of the sealed process could be recomputed")
    verdict.require(
        worst_mean <= MEAN_TOLERANCE_NATS and worst_token <= TOKEN_TOLERANCE_NATS,
        f"this process scores a chunk differently by {worst_mean:.3g} nats per token (one token by {worst_token:.3g})",
    )
    verdict.record(scores_compared=compared, largest_chunk_mean_difference_nats=worst_mean)
    verdict.record(largest_token_difference_nats=worst_token)
    return compared
