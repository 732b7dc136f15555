"""The byte ledger: what the artifact weighs, by part, against its cap."""

from __future__ import annotations

from pathlib import Path

from pgolf.artifact.container import Loaded
from pgolf.artifact.header import PACKED, TOKENIZER
from pgolf.core.results import Artifact

CODE_LABEL = "bundle"  # the run's code is its one-file script


def artifact_record(
    path: Path | str,
    loaded: Loaded,
    *,
    bytes_code: int,
    code_sha256: str,
    cap_bytes: int,
    counts_tokenizer: bool,
) -> Artifact:
    """The Artifact record of the file at ``path``, from what was read back of it.

    ``bytes_weights`` is the file less its sections of tokenizer and packed counts; ``bytes_total`` = weights + packed
    counts + code (+ tokenizer where the budget counts it).
    """
    bytes_tokenizer, bytes_packed = (loaded.bytes_by_role.get(role, 0) for role in (TOKENIZER, PACKED))
    bytes_weights = sum(loaded.bytes_by_role.values()) - bytes_tokenizer - bytes_packed
    return Artifact(
        path=Path(path),
        bytes_total=bytes_weights + bytes_packed + bytes_code + (bytes_tokenizer if counts_tokenizer else 0),
        bytes_weights=bytes_weights,
        bytes_code=bytes_code,
        bytes_tokenizer=bytes_tokenizer,
        bytes_by_role=dict(loaded.bytes_by_role),
        cap_bytes=cap_bytes,
        counts_tokenizer=counts_tokenizer,
        code_label=CODE_LABEL,
        sha256=loaded.sha256,
        code_sha256=code_sha256,
        bytes_packed=bytes_packed,
    )


def ledger_text(artifact: Artifact) -> str:
    """One line: the total against the budget, and the parts of it."""
    distance = artifact.cap_bytes - artifact.bytes_total
    against = f"{abs(distance):,} {'under' if distance >= 0 else 'over'} the {artifact.cap_bytes:,} budget"
    tokenizer = f"tokenizer {artifact.bytes_tokenizer:,}"
    ending = f" + {tokenizer}" if artifact.counts_tokenizer else f"; {tokenizer} not counted"
    packed = f" + packed counts {artifact.bytes_packed:,}" if artifact.bytes_packed else ""
    parts = f"weights {artifact.bytes_weights:,}{packed} + code {artifact.bytes_code:,}{ending}"
    return f"artifact: {artifact.bytes_total:,} bytes, {against} ({parts})."


def ledger_table(artifact: Artifact) -> list[tuple[str, int]]:
    """(part, bytes) for the summary: weights by role, largest first, then header, code, tokenizer; then the sum.

    A tokenizer that does not count stands after the total.
    """
    roles = {role: size for role, size in artifact.bytes_by_role.items() if role != TOKENIZER}
    rows = sorted(roles.items(), key=lambda item: (-item[1], item[0]))
    rows.append((f"code ({artifact.code_label})", artifact.bytes_code))
    tokenizer = (TOKENIZER, artifact.bytes_tokenizer)
    total = ("total", artifact.bytes_total)
    if artifact.counts_tokenizer:
        return [*rows, tokenizer, total]
    return [*rows, total, (f"{TOKENIZER} (not counted)", artifact.bytes_tokenizer)]
