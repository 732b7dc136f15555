"""What a run's certificate says in numbers: positions looked at, what that bounds, how much was decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError
from pgolf.report.entry import Fields


@dataclass(frozen=True, slots=True)
class Probe:
    letter: str
    name: str
    passed: bool
    message: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class CertificateEvidence:
    """``looked_at``: positions of the audit, of ``planned``; ``drawn``: those of them that were drawn evenly, which is
    what ``bound`` rests on: at 95 % below so many of all positions differ, where none of these did.
    ``decoded``: tokens read back from bytes. None: the probe was not reached, or does not say."""

    passed: bool
    track: str
    profile: str
    isolation: str
    code: str
    probes: tuple[Probe, ...]
    looked_at: int | None
    planned: int | None
    drawn: int | None
    bound: float | None
    decoded: int | None

    @property
    def failed(self) -> tuple[Probe, ...]:
        return tuple(probe for probe in self.probes if not probe.passed)


def evidence_of(folder: Path, result: Mapping[str, Any]) -> CertificateEvidence | None:
    """None for a run without a certificate. Raises RunError for half a result."""
    fields = Fields(folder, result)
    if fields.mapping("certificate") is None:
        return None
    told = fields.at("certificate.probes")
    if not isinstance(told, list) or not all(isinstance(probe, Mapping) for probe in told):
        raise RunError(f"{folder}: half a result: certificate.probes is no list of probes")
    each = [Fields(folder, {"probe": probe}) for probe in told]
    measured: dict[str, Mapping[str, Any]] = {}
    for one in each:
        found = one.mapping("probe.measured")
        measured[one.text("probe.letter")] = found if found is not None else {}
    audit, decoding = measured.get("b", {}), measured.get("f", {})
    return CertificateEvidence(
        fields.flag("certificate.passed"),
        fields.text("certificate.track"),
        fields.text("certificate.profile"),
        fields.text("certificate.isolation"),
        fields.text("certificate.code"),
        tuple(
            Probe(
                one.text("probe.letter"),
                one.text("probe.name"),
                one.flag("probe.passed"),
                one.text("probe.message"),
                one.number("probe.seconds"),
            )
            for one in each
        ),
        _whole(audit.get("looked_at")),
        _whole(audit.get("planned")),
        _whole(audit.get("uniform")),
        _fraction(audit.get("bound")),
        _whole(decoding.get("decoded")),
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _fraction(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else None
