"""The two sealed processes that follow the one that scored: who sees no future, and who reads from bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pgolf.core.protocols import Progress
from pgolf.eval.sealed import SealedScore
from pgolf.proof.audit import Audit, audit_sealed
from pgolf.proof.decoding import Decoding, decode_sealed
from pgolf.proof.probes.prefix_only import tolerance_nats
from pgolf.proof.profiles import Profile


def prove(
    artifact_path: Path,
    tokens_N: np.ndarray,
    sealed: SealedScore,
    vocab_size: int,
    profile: Profile,
    progress: Progress | None = None,
    **how: Any,
) -> tuple[Audit, Decoding | None]:
    """Audit the committed scores; decode a stretch where the audit found nothing that ends the matter.

    ``how``: as for ``run_sealed``. Raises as that does.
    """
    audit = audit_sealed(
        artifact_path, tokens_N, sealed, vocab_size, profile.places, profile.decoded, progress=progress, **how
    )
    if not audit.complete or audit.largest > tolerance_nats(how.get("device", "cpu")):
        return audit, None
    return audit, decode_sealed(artifact_path, tokens_N, sealed, audit, vocab_size, progress=progress, **how)
