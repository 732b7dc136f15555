"""Probe (d): all tokens are scored, and the bytes they are divided by are the bytes of the text.

Profile ``raw``: decoded tokens equal the raw text and counted bytes equal its bytes, per document and in sum.
Profile ``table`` (published vocabularies, which do not reproduce the text): counted bytes are held to the
decoded text's, and the bytes per token to a plausible range; raw bytes are recorded beside them. Where the text is at
hand, its characters must come back as often as they are in it, but for what normalisation rewrites: a vocabulary that
makes another, easier text of it is none.
Bytes from sidecars count the text before its case was factored out, so the controls are taken out of the
decoded text first.
Both: every target after token 0 has a score. BOS targets have bits and no bytes.

Shapes: N tokens of the stream.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np

from pgolf.core.results import ProbeResult
from pgolf.eval.evaluation import byte_counts
from pgolf.proof.context import Context
from pgolf.proof.verdict import Verdict
from pgolf.tokenizer.letter_case import CONTROLS

LETTER, NAME = "d", "coverage and bytes"
TABLE_TOLERANCE = 1e-5  # of decoded bytes; a record's margin is half a percent, the known miscounts 4 % and more
PLAUSIBLE_BYTES_PER_TOKEN = (0.8, 12.0)
LOST_TOLERANCE = 0.01  # of characters, compared without white space and in compatibility form
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
    decoded_bytes = raw_bytes = lost = characters = 0
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
                there, came = plain(documents[number]), plain(decoded)
                there = there[: len(came)] if is_cut else there
                lost += _differing(there, came)
                characters += len(there)
    verdict.require(
        lost <= LOST_TOLERANCE * characters,
        f"of {characters:,} characters of the text {lost:,} are others in what the tokens decode to",
    )
    verdict.record(documents=len(starts), decoded_bytes=decoded_bytes)
    verdict.record(raw_bytes=raw_bytes if documents is not None else None, compared_with_text=documents is not None)
    total = int(bytes_N.sum(dtype=np.int64))
    slack = _CUT_CHARACTER_BYTES if exact else _REPLACED_BYTES + TABLE_TOLERANCE * decoded_bytes
    verdict.require(
        abs(total - decoded_bytes) <= slack,
        f"{total:,} bytes are counted, the tokens decode to {decoded_bytes:,} "
        f"({total / max(1, decoded_bytes) - 1:+.2%})",
    )


def plain(text: str) -> str:
    """What no published normalisation takes from a text: its characters without white space, form and case."""
    return "".join(unicodedata.normalize("NFKC", text.translate(_NO_CONTROLS)).casefold().split())


def _differing(there: str, came: str) -> int:
    """How many characters there are too many or too few."""
    left, right = Counter(there), Counter(came)
    return max((left - right).total(), (right - left).total())


def _against_raw(verdict: Verdict, number: int, decoded: str, counted: int, raw: bytes, cut_short: bool) -> None:
    """Hold one document to its raw text; the stream's last one may end early, even inside a character."""
    if cut_short:
        same = raw[:counted].decode(errors="ignore") == decoded.rstrip("\ufffd")
        verdict.require(same, f"document {number}: the tokens do not decode to the first {counted:,} bytes of its text")
        return
    verdict.require(decoded.encode(errors="replace") == raw, f"document {number}: the tokens do not decode to its text")
    verdict.require(counted == len(raw), f"document {number}: {counted:,} bytes are counted, its text has {len(raw):,}")
