"""What everything that predicts may know about a stream before it comes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """``stream_tokens``: the first one, which is free, included. ``workers``: batches side by side on a CPU."""

    vocab_size: int
    bos_id: int
    stream_tokens: int
    device: str = "cpu"
    workers: int = 1

    @property
    def targets(self) -> int:
        return self.stream_tokens - 1
