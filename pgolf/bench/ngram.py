"""``pgolf bench ngram``: counts and memories beside the network: tokens a second, bytes a token, packed bytes.

The trie (``ngram=backoff``), the tree (``mixer=tree``) and the neighbours are given the training text's tokens as in
``pgolf bench eval``, targets alone, and the trie whole rows too; packed counts are made of the same text and read
back. Floors: the trie and the tree look at least once a context for a place that only the one before tells, so they
are held against reads in turn; neighbours compare the signs of all states that they remember, and rows are written and
summed, so these are held against copying. What fits into the processor's caches may be quicker than that. One thread.
"""

# V vocabulary, N what is remembered

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Clock, Setting, add_command, on_threads, peak, taken

if TYPE_CHECKING:
    from pgolf.bench.eval import Given
    from pgolf.core.prediction import Stage
    from pgolf.eval.stage import Chain

_ROW = 4  # bytes of a probability


def add_parser(subparsers: Any) -> None:
    """Add ``ngram``; its handler is set as ``run``."""
    add_command(
        subparsers,
        "ngram",
        "counts and memories: the trie, the tree, neighbours, packed counts",
        "Tokens a second and bytes a token of what counts while it scores, and of counts that an artifact carries.",
        sys.modules[__name__],
    )


def session(setting: Setting) -> NgramSession:
    """Raises DataError where there is no text."""
    return NgramSession(setting)


class NgramSession:
    def __init__(self, setting: Setting) -> None:
        from pgolf.bench.eval import BLOCK, Given

        text, fewer = (2_000, 512) if setting.tiny else (65_536, 8_192)
        words, self.block = setting.text_words, BLOCK
        self.trie = Given([*words, "ngram=backoff", "mixer=none"], text, fewer)
        self.tree = Given([*words, "ngram=none", "mixer=tree"], text, fewer)
        self.near = Given([*words, "ngram=neighbours", "mixer=none"], fewer, fewer)
        self.of_trie, self.of_tree = _Priced(self.trie, self.trie.experts), _Priced(self.tree, self.tree.stages)
        self.of_near = _Priced(self.near, self.near.experts)
        self.packed_bytes = 20_000 if setting.tiny else 60_000
        self.size = {"words": list(words), "tokens": text, "neighbours tokens": fewer, "packed": self.packed_bytes}

    def round(self) -> Sequence[Reading]:
        with on_threads(1) as now:
            return list(self._readings(now))

    def _readings(self, now: Clock) -> Iterator[Reading]:
        copying, in_turn = peak("copying", now), peak("reads in turn", now)
        contexts = int(self.trie.cfg["ngram"]["max_order"]) - 1
        yield from self.of_trie.readings("trie", in_turn / contexts, "reads in turn", now)
        rows, row_bytes = self.trie.rows, _ROW * self.trie.facts.vocab_size
        spent = taken(lambda: _whole_rows(self.trie, self.of_trie.chain.fork(), rows), now)
        # the network's row is read, the expert's written, and read again to be summed
        floor, each = copying / (3 * row_bytes), spent / rows
        where = f"reading and writing rows {100 * min(1, 1 / floor / each):.0f} % at copying's rate"
        yield Reading("trie, whole rows", 1 / each, "tokens/s", floor=floor, of="copying", where=where)
        yield from self.of_tree.readings("tree", in_turn / contexts, "reads in turn", now)
        signs = sum(array.nbytes for array in _arrays(self.of_near.chain) if array.ndim == 2 and array.itemsize == 8)
        yield from self.of_near.readings("neighbours", 2 * copying / max(signs, 1), "copying", now)
        yield from self._packed(now, copying)

    def _packed(self, now: Clock, copying: float) -> Iterator[Reading]:
        from pgolf.ngram.packed_counts import decode
        from pgolf.ngram.packing import counted, packed

        token_N, vocab_size = self.trie.token_N, self.trie.facts.vocab_size
        order, least = 5, 3
        blobs: list[bytes] = []
        counting = taken(lambda: counted(token_N, vocab_size, order, least), now)
        packing = taken(lambda: blobs.append(packed(token_N, vocab_size, order, least, self.packed_bytes)), now)
        where = f"counting {100 * min(1, counting / packing):.0f} %, coding the rest"
        yield Reading("packing counts", len(token_N) / packing, "tokens/s", where=where)
        found: list[Any] = []
        reading = taken(lambda: found.append(decode(blobs[0], vocab_size)), now)
        ngrams = found[0]
        yield Reading("reading packed counts", len(ngrams.size_N) / reading, "n-grams/s")
        bits = 8 * len(blobs[0]) / len(ngrams.size_N)
        plain = _entropy_bits(ngrams)
        yield Reading("packed counts", bits, "bits an n-gram", "less", plain, "order-0 entropy", exact=True)

    def close(self) -> None: ...


class _Priced:
    """Stages that are given a text's targets, anew in each round."""

    def __init__(self, given: Given, stages: Sequence[Stage]) -> None:
        self.given, self.stages, self.chain = given, stages, given.chain(stages)

    def readings(self, name: str, floor: float, of: str, now: Clock) -> Iterator[Reading]:
        given, chain = self.given, self.chain.fork()
        spent = taken(lambda: given.priced(self.stages, chain, 0, given.text_tokens), now)
        rate = given.text_tokens / spent
        where = f"{of} {100 * min(1, rate / floor):.0f} %, computing the rest"
        yield Reading(f"{name}, targets alone", rate, "tokens/s", floor=floor, of=of, where=where)
        held = sum(array.nbytes for array in _arrays(chain)) / given.text_tokens
        yield Reading(f"{name}, room reserved", held, "bytes a token", "less", exact=True)


def _arrays(chain: Chain) -> list[Any]:
    """Of all its states."""
    import numpy as np

    return [part for state in chain._states for part in state or () if isinstance(part, np.ndarray)]


def _whole_rows(given: Given, chain: Chain, count: int) -> None:
    import numpy as np

    from pgolf.bench.eval import BLOCK
    from pgolf.eval.coder import PlainRows

    lane_I = np.zeros(BLOCK, dtype=np.int64)
    for first in range(0, count, BLOCK):
        token_I = given.token_N[first : first + BLOCK]
        chain.take(given.own_KV[: len(token_I)], given.signals(chain, len(token_I)), lane_I[: len(token_I)], token_I)
        chain.drive(0, len(token_I))
        chain.finish()
        PlainRows(chain.row_IV).sums()


def _entropy_bits(ngrams: Any) -> float:
    """Of an n-gram, if its token and its count's size were each coded by how often they come."""
    import numpy as np

    def bits(value_N: np.ndarray) -> float:
        share_V = np.bincount(value_N) / len(value_N)
        share_V = share_V[share_V > 0]
        return float(-(share_V * np.log2(share_V)).sum())

    return bits(ngrams.size_N) + bits(ngrams.token_N)
