"""Probe (e): scores and rows need the artifact and the stream, nothing else.

Both come from fresh processes in an empty folder that were closed before any code that makes scores was let in. This
probe requires that nothing was refused and that the artifact is the one whose hash was written down. It says what
closed them, as they found by trying (``pgolf.eval.isolation``), and what they ran. Where the kernel had no part in it,
what the hook cannot see is stated in ``pgolf.eval.seal``.
"""

from __future__ import annotations

from pgolf.core.results import ProbeResult
from pgolf.proof.context import Context
from pgolf.proof.verdict import Verdict

LETTER, NAME = "e", "artifact only"


def probe(context: Context) -> ProbeResult:
    verdict, sealed, audit = Verdict(LETTER, NAME), context.sealed, context.audit
    refused, runs = 0, [("sealed", sealed.facts, sealed.violations), ("audited", audit.run.facts, audit.run.violations)]
    if context.decoding is not None:  # whose violations are told by its own probe
        runs.append(("decoding", context.decoding.run.facts, ()))
    for who, facts, violations in runs:
        access = [violation for violation in violations if violation.kind == "access"]
        refused += len(access)
        for violation in access:
            verdict.require(False, f"the {who} process was refused {violation.event} of {violation.what}")
        entries = facts.get("working_directory_entries")
        verdict.require(
            entries in (0, None), f"the working folder of the {who} process held {entries} entries, not none"
        )
        found = facts.get("artifact_sha256")
        verdict.require(
            found is not None and context.artifact_sha256 in (None, found),
            f"the {who} process read an artifact with hash {found}, not {context.artifact_sha256}",
        )
    verdict.record(refused=refused, peak_bytes=sealed.peak_bytes, sealed_seconds=sealed.seconds)
    verdict.record(dict(sealed.facts))
    verdict.record({name: told(context, name) for name in ("isolation", "code")})
    return verdict.result(
        f"nothing else was asked for, by who scored and by who was audited; both ran the {told(context, 'code')}; "
        f"isolation: {told(context, 'isolation')}"
    )


def told(context: Context, name: str) -> str:
    """A fact of both processes; where they differ, both."""
    both = (facts.get(name) for facts in (context.sealed.facts, context.audit.run.facts))
    return " and ".join(dict.fromkeys(str(fact) for fact in both))
