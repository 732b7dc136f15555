"""Which n-grams of the training text are packed: counting all of them, and choosing. No word of the command line.

Counting goes length by length and keeps what came ``least`` times, so with an n-gram all that are in it. Of these are
packed, with all that are in them, those of the largest ``worth`` whose bytes fit.
"""

# T tokens, N n-grams of a length, V vocabulary, K lengths

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pgolf.core.errors import ConfigError
from pgolf.ngram.packed_counts import NGrams, encode, size_of

CLOSE = 3e-3  # of the bytes allowed: near enough to stop
_MOST_TRIED = 16


class Length(NamedTuple):
    """N-grams of a length, by the number of each without its last token (``before_N``), then by that token."""

    before_N: np.ndarray  # in the list that is one shorter
    token_N: np.ndarray
    after_N: np.ndarray  # itself without its first token, there
    count_N: np.ndarray


def counted(token_T: np.ndarray, vocab_size: int, max_order: int, least: int) -> list[Length]:
    """The tokens, all of them, then the n-grams of 2 … ``max_order`` tokens that came ``least`` times."""
    token_T = token_T.astype(np.int64)
    each_V, count_V = np.arange(vocab_size), np.bincount(token_T, minlength=vocab_size)
    lengths = [Length(np.zeros_like(each_V), each_V, np.zeros_like(each_V), count_V)]
    ends_T = np.where(count_V[token_T] >= least, token_T, -1)  # the n-gram that ends here
    for _ in range(max_order - 1):
        place_n = 1 + np.flatnonzero((ends_T[:-1] >= 0) & (ends_T[1:] >= 0))
        key_n = ends_T[place_n - 1] * vocab_size + token_T[place_n]
        key_N, first_N, number_n, count_N = np.unique(key_n, return_index=True, return_inverse=True, return_counts=True)
        kept_N = count_N >= least
        after_N = ends_T[place_n[first_N[kept_N]]]
        lengths.append(Length(key_N[kept_N] // vocab_size, key_N[kept_N] % vocab_size, after_N, count_N[kept_N]))
        renumbered_N = np.where(kept_N, np.cumsum(kept_N) - 1, -1)
        ends_T = np.full_like(ends_T, -1)
        ends_T[place_n] = renumbered_N[number_n]
    return lengths


def worth(lengths: list[Length]) -> list[np.ndarray]:
    """Of the n-grams of two tokens and more: log2(c / e), the bits that its count c saves its last token each time,
    where the counts of its context, of the rest of it and of both without would have had it come e times. That it came
    often is no merit: what came often the network knows.
    """
    found = []
    for k, length in enumerate(lengths[1:], start=1):
        shorter = lengths[k - 1]
        shared_N = lengths[k - 2].count_N[shorter.before_N[length.after_N]] if k > 1 else shorter.count_N.sum()
        expected_N = shorter.count_N[length.before_N] * shorter.count_N[length.after_N] / shared_N
        found.append(np.log2(length.count_N / expected_N))
    return found


def chosen(lengths: list[Length], kept: list[np.ndarray]) -> NGrams:
    """The tokens, and of each length above those that are ``kept`` or in an n-gram that is."""
    kept = [np.ones(len(lengths[0].count_N), dtype=bool), *(kept_N.copy() for kept_N in kept)]
    for k in range(len(kept) - 1, 1, -1):
        for inside_N in (lengths[k].before_N, lengths[k].after_N):
            kept[k - 1][inside_N[kept[k]]] = True
    stop_K = np.cumsum([kept_N.sum() for kept_N in kept])
    while len(stop_K) > 2 and stop_K[-1] == stop_K[-2]:
        stop_K = stop_K[:-1]
    ngrams = NGrams(stop_K, int(size_of(lengths[0].count_N.sum()[None])[0]))
    before_N, start = np.zeros(int(stop_K[-1]), dtype=np.int64), 0
    renumbered_N = np.arange(len(kept[0]))
    for k, stop in enumerate(stop_K.tolist()):
        length, part, kept_N = lengths[k], slice(start, stop), kept[k]
        ngrams.size_N[part] = size_of(length.count_N[kept_N])
        ngrams.token_N[part] = length.token_N[kept_N]
        if k:
            before_N[part] = renumbered_N[length.before_N[kept_N]]
            ngrams.after_N[part] = renumbered_N[length.after_N[kept_N]]
        renumbered_N, start = start + np.cumsum(kept_N) - 1, stop
    vocab_size = int(stop_K[0])
    ngrams.first_N[:] = vocab_size + np.searchsorted(before_N[vocab_size:], np.arange(len(ngrams.first_N)))
    return ngrams


def packed(token_T: np.ndarray, vocab_size: int, max_order: int, least: int, most_bytes: int) -> bytes:
    """The counts worth most, and anything, whose bytes are ``most_bytes`` or just fewer.

    Raises ConfigError where not even those of the tokens fit.
    """
    lengths = counted(token_T, vocab_size, max_order, least)
    worths = worth(lengths)
    every = np.sort(np.concatenate(worths))[::-1]
    every = every[every > 0]

    def best(count: int) -> bytes:
        least = every[count - 1] if count else np.inf
        return encode(chosen(lengths, [worth_N >= least for worth_N in worths]))

    fits, over, found = 0, len(every) + 1, best(0)
    if len(found) > most_bytes:
        raise ConfigError(f"ngram.packed_bytes: {most_bytes:,}; the tokens' counts alone take {len(found):,}")
    goal = most_bytes * (1 - CLOSE / 2)  # a little below: what is approached from above would never fit
    tried, last, last_bytes = min(most_bytes, len(every)), 0, len(found)  # an n-gram takes about a byte
    for _ in range(_MOST_TRIED):
        if over - fits <= 1 or len(found) >= most_bytes * (1 - CLOSE):
            break
        blob = best(tried)
        if len(blob) > most_bytes:
            over = tried
        else:
            fits, found = tried, blob
        aim = tried + round((goal - len(blob)) * abs(tried - last) / max(abs(len(blob) - last_bytes), 1))
        tried, last, last_bytes = aim if fits < aim < over else (fits + over) // 2, tried, len(blob)
    return found
