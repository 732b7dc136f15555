"""Published models: the official table on real normalisation, and worked example E."""

import io

import numpy as np
import pytest
import sentencepiece

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.model_proto import BYTE, CONTROL, NORMAL, UNKNOWN, write_model
from pgolf.tokenizer.published import Published, PublishedTokenizer
from pgolf.tokenizer.recipe import BYTE_PIECES, CONTROL_PIECES


def train(tmp_path, text="Hello world the café 5 cat a™ b… c½ ", vocab_size=300):
    """A model as the publishers made theirs: nmt_nfkc, white space clean-up, byte fallback."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text] * 50), model_writer=model, vocab_size=vocab_size, model_type="bpe",
        normalization_rule_name="nmt_nfkc", add_dummy_prefix=False, byte_fallback=True, split_digits=True,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3, character_coverage=0.999, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    path = tmp_path / "published.model"
    path.write_bytes(model.getvalue())
    return path


def counted(tokenizer, text):
    return int(tokenizer.byte_lengths(np.concatenate([[1], tokenizer.encode(text)]).astype(np.uint16)).sum())


def by_hand(pieces):
    """A tokenizer whose learned pieces are exactly ``pieces``."""
    listed = [(piece, UNKNOWN if index == 3 else CONTROL, 0.0) for index, piece in enumerate(CONTROL_PIECES)]
    listed += [(piece, BYTE, 0.0) for piece in BYTE_PIECES]
    listed += [(piece, NORMAL, -float(rank)) for rank, piece in enumerate(pieces)]
    return PublishedTokenizer(name="hand", model=write_model(listed))


def test_worked_example_e():
    merges = ["el", "lo", "ello", "▁w", "or", "▁wor", "ld", "▁world", "af"]
    tokenizer = by_hand([*merges, *"Heloworldcaf5▁".replace("lo", "", 1)])
    pieces = [tokenizer._processor.id_to_piece(int(index)) for index in tokenizer.encode("Hello world")]
    assert pieces == ["H", "ello", "▁world"] and counted(tokenizer, "Hello world") == 11
    pieces = [tokenizer._processor.id_to_piece(int(index)) for index in tokenizer.encode("café €5")]
    assert pieces == ["c", "af", "<0xC3>", "<0xA9>", "▁", "<0xE2>", "<0x82>", "<0xAC>", "5"]
    assert counted(tokenizer, "café €5") == 10


def test_table_bytes_are_those_of_the_normalised_text(tmp_path):
    tokenizer = Published(name="sp300", vocab_size=300, model_file=str(train(tmp_path))).build(
        lambda: iter(()), tmp_path, ""
    )
    assert tokenizer.metric == "table" and tokenizer.bos_id == 1
    expected = {"a\n\nb": 3, " lead": 4, "½": 5, "™": 2, "…": 3}
    assert {text: counted(tokenizer, text) for text in expected} == expected


def test_blob_carries_the_model(tmp_path):
    path = train(tmp_path)
    tokenizer = Published(name="sp300", vocab_size=300, model_file=None).build(lambda: iter(()), tmp_path, "", path)
    again = from_blob(tokenizer.to_blob())
    assert (again.encode("the café") == tokenizer.encode("the café")).all()
    assert path.read_bytes() in tokenizer.to_blob() and again.metric == "table"


def test_wrong_vocabulary_size_missing_and_foreign_files_are_errors(tmp_path):
    path = train(tmp_path)
    with pytest.raises(DataError, match="has 300 pieces, tokenizer=sp1024 has 1024"):
        Published(name="sp1024", vocab_size=1024, model_file=str(path)).build(lambda: iter(()), tmp_path, "")
    with pytest.raises(DataError, match="comes with data=fineweb"):
        Published(name="sp1024", vocab_size=1024, model_file=None).build(lambda: iter(()), tmp_path, "")
    with pytest.raises(DataError, match="cannot be read"):
        Published(name="sp1024", vocab_size=1024, model_file="nowhere").build(lambda: iter(()), tmp_path, "")
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="not a sentencepiece model"):
        Published(name="sp1024", vocab_size=1024, model_file=str(path)).build(lambda: iter(()), tmp_path, "")


def test_published_vocabulary_without_space_piece_is_refused():
    with pytest.raises(DataError, match="no standalone space piece"):
        by_hand(["a", "b"])
