"""Run every cheat against an artifact and see which probe catches it.

Cheats alter the network's rows, and play on the network alone: what a tree of the vocabulary, for one, makes of rows
that sum to hundreds is a code length again. The honest evaluation is what the artifact is composed of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pgolf.artifact.container import read
from pgolf.core.results import Certificate
from pgolf.eval.evaluation import Evaluation, make_score
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.sealed import score_sealed
from pgolf.eval.source import PackageSource
from pgolf.proof.certificate import certify
from pgolf.proof.cheat_child import cheating
from pgolf.proof.cheats import Cheat
from pgolf.proof.context import Context
from pgolf.proof.profiles import Profile
from pgolf.proof.prove import prove
from pgolf.tokenizer.recipe import stream_of_texts

_WINDOWS = 14  # of the text that is scored
_NOTHING_BESIDE = {
    "ttt": {"_target_": "pgolf.ttt.none.NoAdaptation"},
    "ngram": {"_target_": "pgolf.ngram.none.NoNGram"},
    "mixer": {"_target_": "pgolf.mixer.none.Single"},
}


@dataclass(frozen=True, slots=True)
class Finding:
    """``cheat`` None is the honest evaluation. ``claimed_bpb`` is what would have been reported."""

    cheat: Cheat | None
    claimed_bpb: float
    certificate: Certificate

    @property
    def as_expected(self) -> bool:
        """An honest evaluation passes everything, a cheat fails at least the probe of its rule."""
        failed = {probe.letter for probe in self.certificate.probes if not probe.passed}
        return not failed if self.cheat is None else self.cheat.letter in failed

    @property
    def message(self) -> str:
        """What the probe concerned said; for the honest evaluation its first failure, if any."""
        if self.cheat is None:
            return next(iter(self.certificate.failed), "all probes passed")
        return next(p.message for p in self.certificate.probes if p.letter == self.cheat.letter)


def run_shelf(
    artifact_path: Path,
    documents: Sequence[str],
    cheats: Sequence[Cheat | None],
    *,
    profile: Profile,
    each: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """One Finding per entry of ``cheats`` (None: the honest evaluation), on the first windows of ``documents``.

    ``profile``: how much is looked at. Raises ArtifactError, DataError.
    """
    loaded = read(artifact_path)
    findings = []
    for cheat in cheats:
        overrides = _NOTHING_BESIDE if cheat is not None else {}
        honest = evaluation_from(loaded, overrides=overrides)
        finding = _find(artifact_path, honest, cheat, documents, loaded.sha256, profile, overrides)
        findings.append(finding)
        if each is not None:
            each(finding)
    return findings


def stream_of(evaluation: Evaluation, documents: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The first windows of ``documents`` as a stream, cut in the middle of one, and the documents it holds."""
    wanted = _WINDOWS * evaluation.method.window + evaluation.method.window // 2 + 2
    pieces: list[np.ndarray] = []
    used = []
    for document in documents:
        if sum(map(len, pieces)) >= wanted:
            break
        pieces.append(stream_of_texts(evaluation.tokenizer, [document]))
        used.append(document)
    return evaluation.stream(np.concatenate(pieces)[:wanted]), used


def _find(
    artifact_path: Path,
    honest: Evaluation,
    cheat: Cheat | None,
    documents: Sequence[str],
    sha256: str,
    profile: Profile,
    overrides: Mapping[str, Mapping[str, Any]],
) -> Finding:
    evaluation = cheat.apply(honest) if cheat is not None else honest
    tokens_N, documents = stream_of(honest, documents)
    if cheat is not None and cheat.text is not None:
        tokens_N, documents = cheat.text(tokens_N, documents, honest.tokenizer)
    source = cheating(cheat.name) if cheat is not None else PackageSource()
    sealed = score_sealed(artifact_path, tokens_N, source=source, overrides=overrides)
    scored = ~np.isnan(sealed.nll_nats_N)
    claimed = make_score(
        evaluation,
        tokens_N,
        np.where(scored, sealed.nll_nats_N, 0.0),  # what has no score costs nothing in the claim
        np.nan_to_num(sealed.sum_p_N, nan=1.0),
        split="shelf",
        subset=True,
        seconds=sealed.seconds,
        valid=False,
        side_bits=sealed.side_bits,
    )
    vocab_size = honest.tokenizer.vocab_size
    audit, decoding = prove(artifact_path, tokens_N, sealed, vocab_size, profile, source=source, overrides=overrides)
    certificate = certify(Context(evaluation, tokens_N, sealed, claimed, audit, decoding, documents, sha256))
    return Finding(cheat, claimed.val_bpb, certificate)


def own_documents() -> list[str]:
    """A text that is always at hand: the source of this package, one document per module."""
    package = Path(__file__).resolve().parents[1]
    return [path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py")) if path.stat().st_size > 0]
