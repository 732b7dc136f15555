"""Write a sentencepiece model from a list of pieces, without the protobuf package.

Only the fields that encoding needs are written: the pieces with score and type, the model kind, the byte
fallback, the special ids, and a normaliser that changes nothing. Field numbers are those of
sentencepiece_model.proto. Ours, because a dozen lines of varints stand against the protobuf library, which
sentencepiece does not require and every bundled script would have to install.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Literal

from pgolf.core.errors import DataError
from pgolf.tokenizer.recipe import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from pgolf.tokenizer.tables import PieceKind

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_MODEL_TYPES = {"unigram": 1, "bpe": 2}


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # protobuf writes negative numbers as their 64-bit complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _block(field: int, payload: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(payload)) + payload


def write_model(pieces: Iterable[tuple[str, int, float]], model_type: Literal["unigram", "bpe"] = "bpe") -> bytes:
    """A serialised model with identity normalisation and no dummy prefix.

    ``pieces`` are (text, type, score) by id; BPE merges the pair whose result has the highest score, unigram takes the
    pieces of the highest sum.
    """
    out = bytearray()
    count = 0
    for text, kind, score in pieces:
        piece = _block(1, text.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", score) + _number(3, kind)
        out += _block(1, piece)
        count += 1
    trainer = _number(3, _MODEL_TYPES[model_type]) + _number(4, count) + _number(35, 1)
    for field, value in ((40, UNK_ID), (41, BOS_ID), (42, EOS_ID), (43, PAD_ID)):
        trainer += _number(field, value)
    normalizer = _block(1, b"identity") + _number(3, 0) + _number(4, 0) + _number(5, 1)
    return bytes(out) + _block(2, trainer) + _block(3, normalizer)


def load_processor(model: bytes, where: str) -> Any:
    """A sentencepiece processor from a serialised model. Raises DataError naming ``where``."""
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        if processor.vocab_size() > 0:
            return processor
    except (RuntimeError, OSError) as error:
        raise DataError(f"{where}: not a sentencepiece model ({error})") from error
    raise DataError(f"{where}: not a sentencepiece model (no pieces)")


def piece_kinds(processor: Any) -> list[tuple[str, PieceKind] | None]:
    """(piece, kind) by id as the byte tables want them; unknown and unused ids count as control."""
    kinds: list[tuple[str, PieceKind] | None] = []
    for index in range(processor.vocab_size()):
        special = processor.is_control(index) or processor.is_unknown(index) or processor.is_unused(index)
        kind: Literal["normal", "byte", "control"] = "control" if special else "normal"
        if processor.is_byte(index):
            kind = "byte"
        kinds.append((processor.id_to_piece(index), kind))
    return kinds
