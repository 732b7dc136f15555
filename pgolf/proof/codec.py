"""Texts to bytes and back by an artifact: the proof of a score that needs no argument.

Encoder and decoder are two coders of the loop that scores (``pgolf.eval.evaluator``), with whatever plan, counts and
adaptation are composed. Both must compute the same bits: a print of the rows of fixed tokens stands in the file, so
that a processor or library that computes others is refused by name and not decoded to rubbish.

Cost: what scoring costs to encode, one forward pass a token and lane to decode. Lossless for every file: what is no
UTF-8 goes beside the text, and what the model would make longer is kept as it is or by brotli.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import torch

from pgolf.artifact import container
from pgolf.compressor.brotli import decode as brotli_decode
from pgolf.core.errors import ArtifactError, DataError, UserError
from pgolf.core.prediction import Batch
from pgolf.core.process import one_kernel_thread
from pgolf.core.protocols import Progress, Tokenizer
from pgolf.core.results import Layout
from pgolf.eval.blocks import in_lockstep, tape_of
from pgolf.eval.coder import Coder, Counted, Informed
from pgolf.eval.decoder import Decoder
from pgolf.eval.encoder import Encoder
from pgolf.eval.evaluation import Evaluation
from pgolf.eval.evaluator import Evaluator, under
from pgolf.eval.from_artifact import evaluation_from
from pgolf.proof.coded_file import PRINT_BYTES, CodedFile, Form, read_coded
from pgolf.proof.escape import put_back, take_out
from pgolf.proof.range_coder import RangeReader, RangeWriter
from pgolf.tokenizer.recipe import stream_of_texts

# Of a file that is a text; with more that is none, the model has no say.
MOST_TAKEN = 1 / 16
# Beyond this brotli's last two levels take more time than they are worth.
LONG_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Compressed:
    """``form``: how the body is kept; ``tokens`` of the stream, BOS included, 0 where no model was asked."""

    data: bytes
    form: Form
    tokens: int


def compress(
    artifact: Path,
    data: bytes,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
) -> Compressed:
    """Raises ArtifactError and ConfigError as ``evaluation_from``."""
    loaded = container.read(artifact)
    facts: dict[str, Any] = {"artifact_print": _print(loaded.sha256), "length": len(data), "checksum": zlib.crc32(data)}
    kept = _kept(data, facts)
    text, taken = take_out(data)
    if sum(len(piece) for _, piece in taken) > MOST_TAKEN * len(data) or not text:
        return Compressed(kept.to_bytes(), kept.form, 0)
    evaluation = evaluation_from(loaded, overrides=overrides)
    tokens_N = _stream(evaluation.tokenizer, text)
    if tokens_N is None:
        return Compressed(kept.to_bytes(), kept.form, 0)
    evaluator = replace(evaluation, whole_rows=True).evaluator(len(tokens_N))
    first_tokens = Informed(tokens_N, evaluator.plan.lane_starts).first_tokens
    coded = CodedFile(
        row_print=rows_print(evaluator, first_tokens),
        form="coded",
        body=encode(evaluator, tokens_N, progress),
        tokens=len(tokens_N),
        first_tokens=tuple(first_tokens),
        taken=tuple(taken),
        overrides=dict(overrides or {}),
        **facts,
    )
    best = min((file for file in (coded, kept) if file.plausible), key=lambda file: len(file.to_bytes()))
    return Compressed(best.to_bytes(), best.form, len(tokens_N))


def decompress(artifact: Path, data: bytes, progress: Progress | None = None) -> bytes:
    """Raises DataError for a damaged stream, another artifact's, or one of a machine that computes other bits."""
    file = read_coded(data)
    loaded = container.read(artifact)
    if file.artifact_print != _print(loaded.sha256):
        raise DataError(
            f"compressed with an artifact whose SHA-256 begins with {file.artifact_print.hex()}; that of {artifact} "
            f"begins with {_print(loaded.sha256).hex()}"
        )
    try:
        found = _decoded(file, loaded, progress) if file.form == "coded" else _opened(file)
    except MemoryError as error:
        raise DataError(f"there is no memory here for what the compressed text asks for ({error})") from error
    if (len(found), zlib.crc32(found)) != (file.length, file.checksum):
        raise DataError("what was decoded is not the text that was compressed: its checksum is another")
    return found


def encode(evaluator: Evaluator, tokens_N: np.ndarray, progress: Progress | None = None) -> bytes:
    """The stream, but for its lanes' first tokens or what is told of lanes that end with one."""
    writer = RangeWriter()
    coder = Encoder(tokens_N, writer, evaluator.plan.lane_starts)
    evaluator.run(coder, coder.first_tokens, under("encode", progress))
    return writer.data()


def decode(
    evaluator: Evaluator, first_tokens: Sequence[int], body: bytes, progress: Progress | None = None
) -> np.ndarray:
    """The targets of the stream, int64 [N-1]. Raises ValueError, AssertionError for what no encoder wrote."""
    coder: Coder = Decoder(RangeReader(body))
    if progress is not None:
        coder = Counted(coder, lambda drawn: progress("decode", drawn, evaluator.facts.targets))
    return evaluator.run(coder, first_tokens).stream()


def rows_print(evaluator: Evaluator, first_tokens: Sequence[int]) -> bytes:
    """Of the log-probabilities that fixed tokens get in the shape of the plan's first blocks, to the bit."""
    plan, facts = evaluator.plan, evaluator.facts
    tape = tape_of(plan.lane_starts, first_tokens, facts.targets)
    group = next(in_lockstep(next(iter(plan.rounds(tape)))))[: plan.batch_blocks]
    count = len(group) * group[0].length
    fixed = (np.arange(count, dtype=np.int64) * 7919 + 17) % facts.vocab_size
    inputs_BT = torch.from_numpy(fixed.reshape(len(group), -1)).to(facts.device)
    with one_kernel_thread():
        rows = evaluator.fork().network.log_probs(Batch(group, inputs_BT, group[0].keep))
    return hashlib.sha256(rows.logp_BKV.float().cpu().contiguous().numpy().tobytes()).digest()[:PRINT_BYTES]


def _opened(file: CodedFile) -> bytes:
    """What was kept without a model, and not a byte more than its stated length."""
    if file.form == "stored":
        return file.body
    try:
        return brotli_decode(file.body, file.length, Layout("|u1", ((file.length,),)))
    except ArtifactError as error:
        raise DataError(f"the compressed text was not written by pgolf ({error})") from error


def _decoded(file: CodedFile, loaded: container.Loaded, progress: Progress | None) -> bytes:
    evaluation, evaluator = _evaluator(file, loaded)
    starts = evaluator.plan.lane_starts
    if isinstance(starts, Sequence) and len(file.first_tokens) != len(starts):
        raise DataError(f"{len(file.first_tokens)} lanes in the stream, {len(starts)} in its plan")
    if isinstance(starts, Sequence) and max(file.first_tokens) >= evaluator.facts.vocab_size:
        raise DataError(f"a lane in the stream begins with token {max(file.first_tokens)}, which its artifact has not")
    try:
        found = rows_print(evaluator, file.first_tokens)
    except (IndexError, OverflowError, ValueError) as error:
        raise DataError(f"the compressed text was not written by pgolf ({error})") from error
    if found != file.row_print:
        raise DataError(
            "this machine computes other bits from the artifact than the one that compressed the text: another "
            "processor, PyTorch or setting of its kernels. Only one that computes the same can decode it"
        )
    try:
        targets_n = decode(evaluator, file.first_tokens, file.body, progress)
        return put_back(evaluation.tokenizer.decode(targets_n), file.taken)
    except (AssertionError, IndexError, OverflowError, ValueError) as error:
        raise DataError(f"the compressed text does not decode ({error})") from error


def _evaluator(file: CodedFile, loaded: container.Loaded) -> tuple[Evaluation, Evaluator]:
    try:
        evaluation = evaluation_from(loaded, overrides=file.overrides)
        return evaluation, evaluation.evaluator(file.tokens)
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if not file.overrides:  # the artifact's own settings were checked before there was one
            raise
        raise DataError(f"the compressed text has settings that no evaluation can be made of ({error})") from error


def _stream(tokenizer: Tokenizer, text: str) -> np.ndarray | None:
    """BOS and the text's tokens; None where the tokenizer would give back another text."""
    tokens_N = stream_of_texts(tokenizer, [text])
    return tokens_N if tokenizer.decode(tokens_N[1:]) == text else None


def _kept(data: bytes, facts: Mapping[str, Any]) -> CodedFile:
    smaller = brotli.compress(data, quality=11 if len(data) <= LONG_BYTES else 9)
    form: Form = "brotli" if len(smaller) < len(data) else "stored"
    return CodedFile(row_print=bytes(PRINT_BYTES), form=form, body=min(smaller, data, key=len), **facts)


def _print(sha256: str) -> bytes:
    return bytes.fromhex(sha256)[:PRINT_BYTES]
