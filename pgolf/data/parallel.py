"""Documents to ids on several processes, in the order and with the values of one.

One process reads the documents, decides their split and order and writes the shards; the others encode batches of
texts and know of neither. So there is one split and one "first N", whatever the number of workers: preparing parts of
a list each with its own split once gave 36,562,944 validation tokens for 43,767,808 (#2109).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType

import numpy as np

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.recipe import PortableTokenizer

BATCH_CHARACTERS = 1 << 18
BATCHES_PER_WORKER = 3  # encoded or waiting: what is read ahead is bounded

_tokenizer: PortableTokenizer  # of a worker


class ParallelEncode:
    """An ``Encode`` on ``workers`` processes, which end with the ``with`` block."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._blob = b""

    def __enter__(self) -> ParallelEncode:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __call__(
        self, tokenizer: PortableTokenizer, documents: Iterator[tuple[str, str]]
    ) -> Iterator[tuple[str, str, np.ndarray]]:
        """Raises DataError for what a worker refuses to encode, and where one ended."""
        pool = self._pool_for(tokenizer)
        waiting: deque[tuple[list[tuple[str, str]], Future[list[np.ndarray]]]] = deque()
        try:
            for batch in _batches(documents):
                waiting.append((batch, pool.submit(_encoded, [text for _, text in batch])))
                if len(waiting) >= BATCHES_PER_WORKER * self._workers:
                    yield from _finished(*waiting.popleft())
            while waiting:
                yield from _finished(*waiting.popleft())
        except BrokenProcessPool as error:
            raise DataError(
                "a process that tokenizes has ended; too little memory? Fewer --workers need less"
            ) from error

    def _pool_for(self, tokenizer: PortableTokenizer) -> ProcessPoolExecutor:
        blob = tokenizer.to_blob()
        if self._pool is None or blob != self._blob:
            self.__exit__(None, None, None)
            self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"), _begin, (blob,))
            self._blob = blob
        return self._pool


def _begin(blob: bytes) -> None:
    global _tokenizer
    _tokenizer = from_blob(blob)


def _encoded(texts: list[str]) -> list[np.ndarray]:
    return [_tokenizer.encode(text) for text in texts]


def _batches(documents: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch, size = [], 0
    for name, text in documents:
        batch.append((name, text))
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _finished(batch: list[tuple[str, str]], encoded: Future[list[np.ndarray]]) -> Iterator[tuple[str, str, np.ndarray]]:
    for (name, text), ids_n in zip(batch, encoded.result(), strict=True):
        yield name, text, ids_n
