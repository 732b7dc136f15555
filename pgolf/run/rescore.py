"""Score a finished artifact again, from its bytes alone, with a certificate: what eval.py runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pgolf.artifact import container
from pgolf.build import prepare_dataset
from pgolf.config.eval_words import EvalWords, overrides_of
from pgolf.core.atomic import write_text_atomic
from pgolf.core.errors import CertificateError
from pgolf.core.make import make
from pgolf.core.process import choose_device
from pgolf.data.base import raw_documents
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.sealed import PATIENCE, final_score, score_sealed
from pgolf.proof.certificate import certify
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.fixed import FixedTokenizer
from pgolf.track.console import Console
from pgolf.track.jsonable import to_json


def evaluate(words: EvalWords) -> int:
    """Score, certify, print and write; returns the exit status."""
    cfg, console = words.settings, Console()
    loaded = container.read(words.artifact)
    overrides = overrides_of(words, loaded.header)
    device = str(choose_device(cfg["device"]))
    evaluation = evaluation_from(loaded, device=device, overrides=overrides)
    console.line(f"artifact {words.artifact}  sha256 {loaded.sha256}")
    for group, node in overrides.items():
        changes = ", ".join(
            f"{k} {loaded.header[group].get(k, '-')} → {v}"
            for k, v in node.items()
            if v != loaded.header[group].get(k)
        )
        console.line(f"override {group}: {changes}")
    with console.progress("prepare") as progress:
        dataset = prepare_dataset(cfg, progress, FixedTokenizer(from_blob(loaded.tokenizer_blob)))
    limit = cfg["budget"]["subset_tokens"]
    stream_N = evaluation.stream(dataset.stream("val", limit))
    target_bytes_N = dataset.sidecar_target_bytes("val", limit)
    console.line(
        f"data     {dataset.name}: {len(stream_N):,} tokens of validation{' (subset)' if limit else ''}"
    )
    with console.progress("validation", unit="tokens") as progress:
        sealed = score_sealed(
            words.artifact,
            stream_N,
            device=device,
            limit_seconds=PATIENCE * cfg["budget"]["eval_seconds"],
            overrides=overrides,
            progress=progress,
        )
    score = final_score(evaluation, stream_N, sealed, limit is not None, target_bytes_N)
    with console.progress("certify") as progress:
        certificate = certify(
            evaluation,
            stream_N,
            sealed,
            score,
            probe_seconds=cfg["budget"]["probe_seconds"],
            documents=raw_documents(make(cfg["data"]), Path(cfg["cache_dir"]), "val"),
            artifact_sha256=loaded.sha256,
            target_bytes_N=target_bytes_N,
            progress=lambda probe: progress(f"certify {probe}", 0, None),
        )
    score = replace(score, valid=certificate.passed)
    console.line(
        f"score    {score.val_bpb:.6f} bits per byte, {score.val_loss:.6f} nats per token "
        f"({score.method}, window {score.window}, stride {score.stride}, {score.tokens:,} tokens, {score.bytes:,} bytes"
        f"{', subset' if score.subset else ''}, {score.seconds:.0f} s)"
    )
    for probe in certificate.probes:
        console.line(
            f"({probe.letter}) {'passed' if probe.passed else 'FAILED'}  {probe.name}: {probe.message}"
        )
    record = {
        "artifact_sha256": loaded.sha256,
        "overrides": overrides,
        "score": score.as_dict(),
        "certificate": certificate.as_dict(),
    }
    write_text_atomic(words.out, to_json(record, indent=2) + "\n")
    console.line(f"written  {words.out}")
    console.close()
    return 0 if certificate.passed else CertificateError.exit_status
