"""The certificate: what the judge requires of the sealed process's scores and of the audited one's rows."""

from __future__ import annotations

from typing import Literal

from pgolf.core.results import Certificate
from pgolf.proof.context import Context
from pgolf.proof.probes import artifact_only, coverage, decodes, normalisation, prefix_only, provenance, single_pass

PROBES = (normalisation, prefix_only, single_pass, coverage, artifact_only, decodes, provenance)


def certify(context: Context) -> Certificate:
    """Every probe's verdict."""
    evaluator = context.evaluation.evaluator(len(context.tokens_N))
    track: Literal["A", "B"] = "B" if evaluator.learns else "A"
    isolation, code = (artifact_only.told(context, name) for name in ("isolation", "code"))
    probes = tuple(module.probe(context) for module in PROBES)
    return Certificate(probes, context.evaluation.metric, track, isolation, code)
