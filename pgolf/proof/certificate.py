"""The certificate: what the judge requires of the sealed process's scores and of the audited one's rows.

Nothing here builds what predicts. Whether it learns, which chooses the track, is the sealed process's word.
"""

from __future__ import annotations

from typing import Literal

from pgolf.core.results import Certificate
from pgolf.proof.context import Context
from pgolf.proof.probes import artifact_only, coverage, decodes, normalisation, prefix_only, provenance, single_pass

PROBES = (normalisation, prefix_only, single_pass, coverage, artifact_only, decodes, provenance)


def certify(context: Context) -> Certificate:
    """Every probe's verdict."""
    track: Literal["A", "B"] = "B" if context.sealed.facts.get("learns") else "A"
    isolation, code = (artifact_only.told(context, name) for name in ("isolation", "code"))
    probes = tuple(module.probe(context) for module in PROBES)
    return Certificate(probes, context.terms.metric, track, isolation, code)
