"""Probe (g): the weights were made while validation was closed, and they know it no better than dev.

Bits of an artifact are not charged for what they remember, so weights that have seen the text pass every other probe.
Closed is what the run that made them kept shut (``pgolf.data.closed``). Dev is as unseen as validation: where the two
scores are further apart than the spread of the documents lets expect, validation being the cheaper one, something has
been seen. A certificate of an artifact alone has nothing to say about where it came from, and says so.
"""

from __future__ import annotations

import math

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.eval.evaluation import byte_counts
from pgolf.proof.context import Context
from pgolf.proof.verdict import Verdict

LETTER, NAME = "g", "provenance"
# Standard errors of the difference: what is told, and what ends the matter; and how many documents make a spread.
TOLD, REFUSED = 3.0, 6.0
LEAST_DOCUMENTS = 8


def probe(context: Context) -> ProbeResult:
    verdict, dev = Verdict(LETTER, NAME), context.dev
    verdict.record(watched=dev is not None)
    if dev is None:
        return verdict.result("not watched: whoever made these weights may have seen the text")
    val = context.reported.val_bpb
    below, error, documents = dev.val_bpb - val, *spread(context)
    verdict.record(val_below_dev=below, standard_error=error, documents=documents)
    closed = "validation was closed while the weights were made"
    if not math.isfinite(val) or context.reported.subset or documents < LEAST_DOCUMENTS:
        why = f"{documents} documents are fewer than the {LEAST_DOCUMENTS} that it takes"
        why = "only a slice of validation was scored" if context.reported.subset else why
        why = why if math.isfinite(val) else "there is no score"
        return verdict.result(f"{closed}; not judged whether it scores suspiciously below dev: {why}")
    error *= math.sqrt(1 + context.reported.bytes / dev.bytes)  # dev has a spread too
    verdict.record(standard_error=error)
    told = f"validation is {below:+.4f} bits per byte below dev, {below / error:.1f} standard errors of its documents"
    verdict.require(below <= REFUSED * error, f"{told}: these weights know it better than a text they never saw")
    warning = "; look at what was trained on" if below > TOLD * error else ""
    return verdict.result(f"{closed}; {told}{warning}")


def spread(context: Context) -> tuple[float, int]:
    """(standard error of validation's bits per byte over its documents, how many documents)."""
    bos_id = context.terms.tokenizer.bos_id
    bits_N = context.sealed.nll_nats_N / math.log(2)
    bytes_N = byte_counts(context.terms, context.tokens_N, context.target_bytes_N)
    # A document's BOS is a target, and the first of it.
    starts = np.unique(np.concatenate([[0], np.flatnonzero(context.tokens_N[1:] == bos_id)]))
    bits_D, bytes_D = np.add.reduceat(bits_N, starts), np.add.reduceat(bytes_N, starts)
    bpb = bits_N.sum() / bytes_N.sum()
    rest_D = bits_D - bpb * bytes_D
    count = len(starts)
    return float(np.sqrt((rest_D**2).sum() * count / max(1, count - 1)) / bytes_N.sum()), count
