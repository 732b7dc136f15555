"""A recipe that always yields one tokenizer: an artifact's own, for scoring text with it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pgolf.tokenizer.recipe import PortableTokenizer, Texts


class FixedTokenizer:
    """Learns nothing, whatever the text."""

    brings_model = True

    def __init__(self, tokenizer: PortableTokenizer) -> None:
        self.tokenizer, self.name, self.vocab_size = tokenizer, tokenizer.name, tokenizer.vocab_size
        self.metric: Literal["raw", "table"] = tokenizer.metric

    def build(
        self, train_texts: Texts, cache_dir: Path, fingerprint: str, published_model: Path | None = None
    ) -> PortableTokenizer:
        return self.tokenizer
