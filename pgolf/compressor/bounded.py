"""Running a streaming decoder that may not produce a byte more than was declared."""

from __future__ import annotations

from collections.abc import Iterator

from pgolf.core.errors import ArtifactError

STEP_BYTES = 1 << 20  # how far a decoder runs before its output is counted again


def gather(codec_id: str, pieces: Iterator[bytes], raw_length: int) -> bytes:
    """Join ``pieces``; raise ArtifactError as soon as they exceed ``raw_length``, or fall short of it.

    Memory grows with what the stream really holds, never with what it claims.
    """
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > raw_length:
            raise ArtifactError(f"artifact: {codec_id}: the stream holds more than the {raw_length:,} bytes declared")
        held.append(piece)
    if length != raw_length:
        raise ArtifactError(f"artifact: {codec_id}: the stream holds {length:,} bytes, {raw_length:,} were declared")
    return b"".join(held)


def corrupt(codec_id: str, reason: object) -> ArtifactError:
    """The error for a stream that the library refuses."""
    return ArtifactError(f"artifact: {codec_id}: the stream cannot be decoded: {reason}")
