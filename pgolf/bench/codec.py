"""``pgolf bench codec``: the range coder of texts, and what ``pgolf compress`` does with it.

The coder alone: tokens drawn from random rows, written and read back. A text: the tokens of ``pgolf bench eval``
through a model of random weights, as ``compress`` writes them, beside the code length that scoring gives. One thread.
"""

# N tokens, V vocabulary

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Clock, Setting, add_command, on_threads, peak, taken


def add_parser(subparsers: Any) -> None:
    """Add ``codec``; its handler is set as ``run``."""
    add_command(
        subparsers,
        "codec",
        "the range coder of texts: its speed, and its bytes beside the ideal code length",
        "Writes and reads tokens by given rows, and encodes a text by a model of random weights.",
        sys.modules[__name__],
    )


def session(setting: Setting) -> Codec:
    """Raises DataError where there is no text."""
    return Codec(setting)


class Codec:
    def __init__(self, setting: Setting) -> None:
        import numpy as np

        from pgolf.bench.eval import Given, NetworkEncodes

        vocab_size, tokens, rows = (300, 64, 256) if setting.tiny else (4_096, 1_024, 1_024)
        random = np.random.default_rng(0)
        weight_NV = random.standard_gamma(0.05, (tokens, vocab_size)) + 1e-9
        self.row_NV = (weight_NV / weight_NV.sum(-1, keepdims=True)).astype(np.float32)
        drawn_N = (self.row_NV.cumsum(-1, dtype=np.float64) < random.random((tokens, 1))).sum(-1)
        self.token_N = np.minimum(drawn_N, vocab_size - 1)
        p_N = self.row_NV[np.arange(tokens), self.token_N].astype(np.float64)
        self.ideal_bytes = float(-np.log2(np.maximum(p_N, 2.0**-24)).sum()) / 8
        with on_threads(1):
            self.given = Given([*setting.text_words, "ngram=none", "mixer=none"], rows, rows)
            self.network = NetworkEncodes(self.given)
        self.size = {"vocabulary": vocab_size, "coded tokens": tokens, "text tokens": rows, "method": self.given.method}

    def round(self) -> Sequence[Reading]:
        with on_threads(1) as now:
            return [*self._coder(now), *self._text(now)]

    def _coder(self, now: Clock) -> Iterator[Reading]:
        from pgolf.core.errors import DataError
        from pgolf.proof.range_coder import RangeReader, RangeWriter

        writer = RangeWriter()
        read: list[int] = []

        def write() -> None:
            for token, row_V in zip(self.token_N.tolist(), self.row_NV, strict=True):
                writer.write(token, row_V)

        count, floor = len(self.token_N), peak("copying", now) / self.row_NV[0].nbytes
        written = count / taken(write, now)
        data = writer.data()
        reader = RangeReader(data)
        rate = count / taken(lambda: read.extend(reader.read(row_V) for row_V in self.row_NV), now)
        if read != self.token_N.tolist():
            raise DataError("the range coder gave back other tokens; please report this")
        where = "the row's checks and frequencies"
        yield Reading("writing by given rows", written, "tokens/s", floor=floor, of="copying", where=where)
        yield Reading("reading by given rows", rate, "tokens/s", floor=floor, of="copying", where=where)
        yield Reading("by given rows", len(data), "bytes", "less", self.ideal_bytes, "ideal code length", exact=True)

    def _text(self, now: Clock) -> Iterator[Reading]:
        import math

        from pgolf.eval.scorer import Scorer
        from pgolf.proof.codec import encode

        evaluator, tokens_N = self.network.evaluator.fork(), self.network.tokens_N
        scorer = Scorer(tokens_N, evaluator.plan.lane_starts)
        scoring = taken(lambda: evaluator.run(scorer, scorer.first_tokens), now)
        bodies: list[bytes] = []
        other = self.network.evaluator.fork()
        encoding = taken(lambda: bodies.append(encode(other, tokens_N)), now)
        ideal = float(scorer.nll_nats.values_N.sum()) / math.log(2) / 8
        count = len(tokens_N) - 1
        where = f"scoring {100 * min(1, scoring / encoding):.0f} %, writing the rest"
        yield Reading("text", count / encoding, "tokens/s", floor=count / scoring, of="scoring", where=where)
        yield Reading("text, bytes", len(bodies[0]), "bytes", "less", ideal, "ideal code length", exact=True)

    def close(self) -> None: ...
