"""BPE: bytes by token, frequent words as one, the space piece. What it shares with others: test_pieces."""

import numpy as np
import pytest

from pgolf.core.errors import DataError
from pgolf.tokenizer.bpe import BPE, BPETokenizer
from tests.tokenizer.hard_texts import settings_for, texts


def recipe(vocab_size=400, **changed):
    return BPE(**settings_for(vocab_size, **changed))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return recipe().build(texts, tmp_path_factory.mktemp("cache"), "tiny")


def test_bytes_per_token_do_not_depend_on_the_neighbour(tokenizer):
    ids = np.arange(tokenizer.vocab_size, dtype=np.uint16)
    forward = tokenizer.byte_lengths(np.concatenate([[1], ids]).astype(np.uint16))
    after_space = tokenizer.byte_lengths(np.stack([np.full_like(ids, 260), ids], 1).reshape(-1))[::2]
    assert (forward == after_space).all()
    assert forward[:4].tolist() == [0, 0, 0, 0] and (forward[4:260] == 1).all()
    assert forward[260] == 2  # the paragraph break
    assert forward.dtype == np.int64


def test_common_words_and_paragraph_breaks_are_single_tokens(tokenizer):
    assert len(tokenizer.encode(" the")) == 1
    assert tokenizer.encode("\n\n").tolist() == [260]


def test_vocabulary_without_space_piece_is_refused():
    with pytest.raises(DataError, match="no standalone space piece"):
        BPETokenizer(name="x", symbols=[], pieces=["a", "b"])
