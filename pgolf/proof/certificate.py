"""The certificate: all probes of one evaluation, run within a stated number of seconds.

Shapes: N tokens of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from pgolf.core.process import one_kernel_thread
from pgolf.core.results import Certificate, ProbeResult, Score
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.sealed import SealedScore
from pgolf.proof.context import Context, Verdict
from pgolf.proof.probes import (
    artifact_only,
    coverage,
    normalisation,
    perturbation,
    score_before_update,
    single_pass,
)
from pgolf.proof.replay import Replay

# Each probe and its share of the probe seconds; the rest goes to reaching later chunks. (d) and (f) mostly
# reuse what (b) and (c) have computed.
PROBES = (
    (normalisation, 0.20),
    (perturbation, 0.35),
    (score_before_update, 0.25),
    (single_pass, 0.02),
    (coverage, 0.05),
    (artifact_only, 0.03),
)
ADVANCE_SHARE = 0.10


@one_kernel_thread()
def certify(
    evaluation: Evaluation,
    tokens_N: np.ndarray,
    sealed: SealedScore,
    reported: Score,
    *,
    probe_seconds: float,
    documents: Sequence[str] | None = None,
    artifact_sha256: str | None = None,
    target_bytes_N: np.ndarray | None = None,
    progress: Callable[[str], None] | None = None,
) -> Certificate:
    """Run all probes against the evaluation that gave ``sealed`` and ``reported``.

    ``evaluation`` is built from the artifact in this process; ``tokens_N`` is the scored stream
    (``evaluation.stream(...)``); ``documents`` are the raw texts behind it, in order, where they are at hand;
    ``target_bytes_N`` the byte counts ``reported`` was made with, where they came with the text.
    ``progress`` is called with the name of each probe. A probe that cannot be carried out has failed.
    """
    try:
        replay = Replay(evaluation, tokens_N, sealed.nll_nats_N, ADVANCE_SHARE * probe_seconds)
    except (RuntimeError, ValueError, IndexError) as error:
        return Certificate(tuple(_broken(m.LETTER, m.NAME, error) for m, _ in PROBES), evaluation.metric, "B")
    context = Context(
        evaluation,
        tokens_N,
        sealed,
        reported,
        documents,
        artifact_sha256,
        replay,
        target_bytes_N=target_bytes_N,
    )
    results = []
    for module, share in PROBES:
        if progress is not None:
            progress(f"({module.LETTER}) {module.NAME}")
        try:
            results.append(module.probe(context, share * probe_seconds))
        except (RuntimeError, ValueError, IndexError) as error:
            results.append(_broken(module.LETTER, module.NAME, error))
    track: Literal["A", "B"] = "B" if replay.experts_learn or replay.mixer_learns else "A"
    return Certificate(tuple(results), evaluation.metric, track)


def _broken(letter: str, name: str, error: Exception) -> ProbeResult:
    """The result of a probe during which the evaluation itself raised an error."""
    verdict = Verdict(letter, name)
    verdict.require(False, f"the evaluation could not be replayed: {type(error).__name__}: {error}")
    return verdict.result("")
