"""Score a finished artifact again, from its bytes alone, with a certificate: what eval.py runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgolf.artifact import container
from pgolf.config.eval_words import EvalWords
from pgolf.config.make import make
from pgolf.core.atomic import write_text_atomic
from pgolf.core.errors import CertificateError, ConfigError, UserError
from pgolf.core.process import choose_device
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.sealed import score_sealed
from pgolf.proof.certificate import certify
from pgolf.stages import final_score, raw_documents
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.recipe import PortableTokenizer, Texts
from pgolf.track.console import Console
from pgolf.track.plain import to_json


class FixedTokenizer:
    """A tokenizer recipe that always yields the artifact's own tokenizer."""

    def __init__(self, tokenizer: PortableTokenizer) -> None:
        self.tokenizer, self.name = tokenizer, tokenizer.name

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> PortableTokenizer:
        return self.tokenizer


def overrides_of(words: EvalWords, header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes that replace the header's. Raises ConfigError for a key the header's node does not have."""
    nodes = {group: dict(words.settings[group]) for group in words.chosen}
    for dotted in words.changed:
        group, _, key = dotted.partition(".")
        node = nodes.setdefault(group, dict(header[group]))
        if key not in node:
            raise ConfigError(
                f"{dotted}: the artifact's {group} takes {', '.join(k for k in node if k != '_target_')}"
            )
        node[key] = words.settings[group][key]
    return {group: node for group, node in nodes.items() if node != header[group]}


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
        recipe = FixedTokenizer(from_blob(loaded.tokenizer_blob))
        dataset = make(cfg["data"]).prepare(
            recipe, Path(cfg["cache_dir"]), cfg["size"]["shard_tokens"], progress
        )
    limit = cfg["budget"]["subset_tokens"]
    stream_N = evaluation.stream(dataset.stream("val", limit))
    console.line(
        f"data     {dataset.name}: {len(stream_N):,} tokens of validation{' (subset)' if limit else ''}"
    )
    with console.progress("validation", unit="tokens") as progress:
        sealed = score_sealed(
            words.artifact,
            stream_N,
            device=device,
            overrides=overrides,
            progress=lambda d, t: progress("validation", d, t),
        )
    score = final_score(evaluation, stream_N, sealed, subset=limit is not None)
    with console.progress("certify") as progress:
        certificate = certify(
            evaluation,
            stream_N,
            sealed,
            score,
            probe_seconds=cfg["budget"]["probe_seconds"],
            documents=raw_documents(cfg),
            artifact_sha256=loaded.sha256,
            progress=lambda probe: progress(f"certify {probe}", 0, None),
        )
    score = replace(score, valid=certificate.passed)
    out = words.out or words.artifact.with_name("certificate.eval.json")
    record = {
        "artifact_sha256": loaded.sha256,
        "overrides": overrides,
        "score": score.as_dict(),
        "certificate": certificate.as_dict(),
    }
    try:
        write_text_atomic(out, to_json(record, indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written: {error.strerror or error}; choose another place with out=..."
        ) from error
    console.line(
        f"score    {score.val_bpb:.6f} bits per byte, {score.val_loss:.6f} nats per token "
        f"({score.method}, window {score.window}, stride {score.stride}, {score.tokens:,} tokens, {score.bytes:,} bytes"
        f"{', subset' if score.subset else ''}, {score.seconds:.0f} s)"
    )
    for probe in certificate.probes:
        console.line(
            f"({probe.letter}) {'passed' if probe.passed else 'FAILED'}  {probe.name}: {probe.message}"
        )
    console.line(f"written  {out}")
    console.close()
    return 0 if certificate.passed else CertificateError.exit_status
