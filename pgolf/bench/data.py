"""``pgolf bench data``: tokenizing and preparing generated text, beside what the library's encoder takes alone.

The corpus is that of ``data=tiny``, enlarged, so it is the same everywhere; its tokenizer is learnt before the first
round. Preparing reads every document twice, looks for documents in two splits, encodes, and writes shards. One thread,
one process: ``data prepare`` of much text encodes in several.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Clock, Setting, add_command, on_threads, taken


def add_parser(subparsers: Any) -> None:
    """Add ``data``; its handler is set as ``run``."""
    add_command(
        subparsers,
        "data",
        "tokenizing and preparing text: bytes a second",
        "Encodes, decodes and prepares generated text with a tokenizer learnt from it.",
        sys.modules[__name__],
    )


def session(setting: Setting) -> Preparing:
    return Preparing(setting)


class Preparing:
    def __init__(self, setting: Setting) -> None:
        from pgolf.config.compose import node
        from pgolf.core.make import make
        from pgolf.data.tiny import Tiny

        documents, each, vocab_size = (20, 1_000, 300) if setting.tiny else (200, 10_000, 1_024)
        self.corpus = Tiny(document_count=documents, document_bytes=each, text_seed=0)
        self.recipe = make({**node("tokenizer", "bpe"), "vocab_size": vocab_size})
        self.folder = TemporaryDirectory(prefix="pgolf-data-")
        self.cache = Path(self.folder.name)
        try:
            self.tokenizer = self.recipe.build(self._texts, self.cache, "bench")
        except BaseException:
            self.folder.cleanup()
            raise
        self.texts = list(self._texts())
        self.bytes = sum(len(text.encode()) for text in self.texts)
        self.size = {"documents": documents, "bytes": self.bytes, "vocabulary": vocab_size}

    def _texts(self) -> Iterator[str]:
        return (text for _, text in self.corpus.documents("train"))

    def round(self) -> Sequence[Reading]:
        with on_threads(1) as now:
            return list(self._readings(now))

    def _readings(self, now: Clock) -> Iterator[Reading]:
        from pgolf.data.prepare import prepare_documents, silent

        library, tokenizer = self.tokenizer._processor, self.tokenizer
        found: list[Any] = []
        alone = taken(lambda: [library.encode(text.replace(" ", "▁")) for text in self.texts], now)
        encoding = taken(lambda: found.extend(tokenizer.encode(text) for text in self.texts), now)
        decoding = taken(lambda: [tokenizer.decode(ids_n) for ids_n in found], now)
        where = f"the library {100 * min(1, alone / encoding):.0f} %, checks and spaces the rest"
        yield self._reading("tokenizing", encoding, alone, "sentencepiece alone", where)
        yield Reading("decoding", self.bytes / decoding / 1e6, "MB/s")

        def prepare() -> None:
            prepare_documents(
                self.corpus,
                name="bench",
                recipe=self.recipe,
                cache_dir=self.cache,
                shard_tokens=1 << 18,
                progress=silent,
            )

        spent = taken(prepare, now)
        shutil.rmtree(self.cache / "datasets")
        where = f"tokenizing {100 * min(1, encoding / spent):.0f} %, reading, looking for copies and writing the rest"
        yield self._reading("preparing", spent, encoding, "tokenizing alone", where)

    def _reading(self, name: str, seconds: float, least: float, of: str, where: str) -> Reading:
        rate, floor = (self.bytes / spent / 1e6 for spent in (seconds, least))
        return Reading(name, rate, "MB/s", floor=floor, of=of, where=where)

    def close(self) -> None:
        self.folder.cleanup()
