"""Probe (d): all tokens are scored, and the bytes they are divided by are the bytes of the text.

Profile ``raw``: decoded tokens equal the raw text and counted bytes equal its bytes, per document and in sum.
Profile ``table`` (published vocabularies, which do not reproduce the text): counted bytes are held to the
decoded text's, and the bytes per token to a plausible range. Where the text is at hand, what the tokens decode to is
that text as a published rule writes it, in order (``pgolf.proof.published_text``), and the bytes are no more than the
raw text's: a vocabulary that makes an easier or a longer text of it is none.
Bytes from sidecars count the text before its case was factored out, so the controls are taken out of the
decoded text first.
Both: every target after token 0 has a score. BOS targets have bits and no bytes.

Shapes: N tokens of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.eval.evaluation import byte_counts
from pgolf.proof.context import Context
from pgolf.proof.published_text import written_by_a_rule
from pgolf.proof.verdict import Verdict
from pgolf.tokenizer.letter_case import CONTROLS

LETTER, NAME = "d", "coverage and bytes"
TABLE_TOLERANCE = 1e-5  # of decoded bytes; a record's margin is half a percent, the known miscounts 4 % and more
PLAUSIBLE_BYTES_PER_TOKEN = (0.8, 12.0)
LOST_TOLERANCE = 1e-5  # of characters; the rules of sentencepiece's releases differ in newer ones
RAW_TOLERANCE = 5e-4  # of raw bytes; of the challenge's validation the published rule makes 0.004 % more
_LOST = 2  # characters, of however short a text
_CUT_CHARACTER_BYTES = 3
_REPLACED_BYTES = 6  # more than three byte tokens carry, once each decodes to U+FFFD
_NO_CONTROLS = dict.fromkeys(map(ord, CONTROLS))


def probe(context: Context) -> ProbeResult:
    verdict = Verdict(LETTER, NAME)
    missing_N = np.isnan(context.sealed.nll_nats_N)
    targets = len(context.tokens_N) - 1
    scored = targets - int(missing_N.sum())
    first_missing = int(missing_N.argmax()) if missing_N.any() else 0
    verdict.require(
        scored == targets,
        f"{targets - scored:,} of {targets:,} targets have no score, the first at position {first_missing:,}",
    )
    verdict.require(
        context.reported.tokens == targets,
        f"the report counts {context.reported.tokens:,} targets, the stream has {targets:,}",
    )
    carried_N = byte_counts(context.terms, context.tokens_N, context.target_bytes_N)
    bytes_N = np.concatenate([[0], carried_N])
    counted = int(bytes_N.sum(dtype=np.int64))
    verdict.require(
        context.reported.bytes == counted,
        f"the report divides by {context.reported.bytes:,} bytes, the tokens carry {counted:,}",
    )
    bos_bytes = int(bytes_N[context.tokens_N == context.terms.tokenizer.bos_id].sum())
    verdict.require(bos_bytes == 0, f"BOS targets were given {bos_bytes:,} bytes")
    _bytes_of_documents(context, verdict, bytes_N)
    verdict.record(targets=targets, scored=scored, counted_bytes=counted, bytes_per_token=counted / targets)
    verdict.record(bytes_from="tokenizer" if context.target_bytes_N is None else "sidecar")
    low, high = PLAUSIBLE_BYTES_PER_TOKEN
    if context.terms.metric == "table":
        verdict.require(
            low <= counted / targets <= high,
            f"{counted / targets:.3f} bytes per token are outside {low:g} to {high:g}",
        )
    return verdict.result(f"{scored:,} of {targets:,} targets scored, {counted:,} bytes counted")


def _bytes_of_documents(context: Context, verdict: Verdict, bytes_N: np.ndarray) -> None:
    """Document by document: counted bytes against decoded bytes, and decoded text against raw text."""
    tokenizer, tokens_N = context.terms.tokenizer, context.tokens_N
    starts = np.flatnonzero(tokens_N == tokenizer.bos_id).tolist()
    verdict.require(bool(starts) and starts[0] == 0, "the stream does not begin with BOS")
    exact = context.terms.metric == "raw"
    documents = context.documents
    decoded_bytes = raw_bytes = 0
    came: list[str] = []
    if documents is not None and len(starts) > len(documents):
        verdict.require(False, f"the stream has {len(starts):,} documents, the text has {len(documents):,}")
        documents = None
    for number, (start, stop) in enumerate(pairwise([*starts, len(tokens_N)])):
        counted = int(bytes_N[start + 1 : stop].sum(dtype=np.int64))
        decoded = tokenizer.decode(tokens_N[start + 1 : stop])
        is_cut = stop == len(tokens_N)
        if context.target_bytes_N is not None and not exact:
            decoded = decoded.translate(_NO_CONTROLS)
        size = len(decoded.encode(errors="replace"))
        decoded_bytes += size
        if exact and not is_cut:
            verdict.require(
                counted == size,
                f"document {number}: {counted:,} bytes are counted, its tokens decode to {size:,}",
            )
        if documents is not None:
            raw = documents[number].encode()
            cut_short = is_cut and counted < len(raw)
            raw_bytes += counted if cut_short else len(raw)
            if exact:
                _against_raw(verdict, number, decoded, counted, raw, cut_short)
            else:
                came.append(decoded)
    total = int(bytes_N.sum(dtype=np.int64))
    if documents is not None and not exact:
        texts = documents[: len(came)]
        if context.target_bytes_N is not None:
            texts = [text.translate(_NO_CONTROLS) for text in texts]
        raw_bytes = _against_rules(verdict, texts, came, total)
    verdict.record(documents=len(starts), decoded_bytes=decoded_bytes)
    verdict.record(raw_bytes=raw_bytes if documents is not None else None, compared_with_text=documents is not None)
    slack = _CUT_CHARACTER_BYTES if exact else _REPLACED_BYTES + TABLE_TOLERANCE * decoded_bytes
    verdict.require(
        abs(total - decoded_bytes) <= slack,
        f"{total:,} bytes are counted, the tokens decode to {decoded_bytes:,} "
        f"({total / max(1, decoded_bytes) - 1:+.2%})",
    )


def _against_rules(verdict: Verdict, texts: Sequence[str], came: Sequence[str], total: int) -> int:
    """Hold decoded documents to what published rules write for the raw ones; the bytes of the raw text that came."""
    characters = sum(map(len, came))
    most = _LOST + LOST_TOLERANCE * characters
    found = written_by_a_rule(texts, came, most)
    if found is None:
        verdict.require(
            False,
            f"of {characters:,} characters more than {most:.0f} are others in what the tokens decode to than in the "
            "text, by whatever published rule it is written",
        )
        return sum(len(text.encode()) for text in texts)
    verdict.require(
        total <= found.raw_bytes * (1 + RAW_TOLERANCE) + _REPLACED_BYTES,
        f"{total:,} bytes are counted, the raw text has {found.raw_bytes:,}",
    )
    verdict.record(other_characters=found.lost)
    return found.raw_bytes


def _against_raw(verdict: Verdict, number: int, decoded: str, counted: int, raw: bytes, cut_short: bool) -> None:
    """Hold one document to its raw text; the stream's last one may end early, even inside a character."""
    if cut_short:
        same = raw[:counted].decode(errors="ignore") == decoded.rstrip("\ufffd")
        verdict.require(same, f"document {number}: the tokens do not decode to the first {counted:,} bytes of its text")
        return
    verdict.require(decoded.encode(errors="replace") == raw, f"document {number}: the tokens do not decode to its text")
    verdict.require(counted == len(raw), f"document {number}: {counted:,} bytes are counted, its text has {len(raw):,}")
