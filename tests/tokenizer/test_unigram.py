"""Lossless unigram pieces: round trips for every text, the most probable cut, the same blob from the same text."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob, pack
from pgolf.tokenizer.unigram import Unigram, UnigramTokenizer
from tests.tokenizer.hard_texts import ODD_TEXTS, TRICKY, texts


def recipe(vocab_size=400, **changed):
    numbers = {"character_coverage": 0.9995, "split_digits": False, "symbols": ["\n\n"], "train_bytes": 10**8}
    return Unigram(vocab_size=vocab_size, **(numbers | changed))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return recipe().build(texts, tmp_path_factory.mktemp("cache"), "tiny")


@pytest.mark.parametrize("text", TRICKY)
def test_tricky_text_comes_back_unchanged(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \n\u2581the\r"))))
def test_every_text_comes_back_and_every_byte_is_counted(tokenizer, text):
    ids = tokenizer.encode(text)
    assert ids.dtype == np.uint16 and (not len(ids) or 4 <= ids.min() <= ids.max() < tokenizer.vocab_size == 400)
    assert tokenizer.decode(ids) == text
    stream = np.concatenate([[tokenizer.bos_id], ids]).astype(np.uint16)
    assert tokenizer.byte_lengths(stream).sum() == len(text.encode())


def test_a_text_is_cut_into_the_most_probable_pieces(tokenizer):
    """Held to a search over all cuts; two may be equally probable."""
    scores = {
        piece.replace("\u2581", " "): tokenizer.highest - tokenizer.step * int(level)
        for piece, level in zip(tokenizer.pieces, tokenizer.levels_V, strict=True)
    }
    longest = max(map(len, scores))
    for text in texts():
        line = max(text.split("\n"), key=len)
        best = [0.0]
        for end in range(1, len(line) + 1):
            last = [(start, line[start:end]) for start in range(max(0, end - longest), end)]
            best.append(max(best[start] + scores[piece] for start, piece in last if piece in scores))
        taken = [tokenizer.surfaces_V[index].decode() for index in tokenizer.encode(line)]
        assert sum(scores[piece] for piece in taken) == pytest.approx(best[-1], abs=1e-4)


def test_its_text_is_fewer_tokens_than_single_characters_would_be_and_symbols_are_one(tokenizer):
    joined = "".join(texts())
    assert len(tokenizer.encode(joined)) < 0.6 * len(joined)
    assert tokenizer.encode("\n\n").tolist() == [260]


def test_blob_rebuilds_a_tokenizer_that_encodes_alike(tokenizer):
    again = from_blob(tokenizer.to_blob())
    assert again.to_blob() == tokenizer.to_blob() and isinstance(again, UnigramTokenizer)
    assert (again.name, again.vocab_size, again.metric) == ("unigram400", 400, "raw")
    for text in [*TRICKY, *texts()]:
        assert (again.encode(text) == tokenizer.encode(text)).all()


def test_two_trainings_give_the_same_bytes(tokenizer, tmp_path):
    assert recipe().build(texts, tmp_path, "tiny").to_blob() == tokenizer.to_blob()


def test_a_blob_cut_short_is_refused(tokenizer):
    header, _, body = tokenizer.to_blob().partition(b"\n")
    with pytest.raises(DataError, match="cut short"):
        from_blob(header + b"\n" + body[:300])
    with pytest.raises(DataError, match="damaged"):
        from_blob(pack({"kind": "unigram"}, body))


@pytest.mark.parametrize(("size", "found"), ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_what_sentencepiece_refuses_is_said_in_our_words_and_the_advice_works(tmp_path, size, found):
    with pytest.raises(DataError) as caught:
        recipe(size).build(lambda: iter(found), tmp_path, "x")
    said = str(caught.value)
    assert "--" not in said and ".cc" not in said and "tokenizer=bytes" in said
    assert not list(tmp_path.rglob("*.blob"))
    advised = re.search(r"tokenizer\.vocab_size=(\d+)", said)
    if advised:
        learned = recipe(int(advised[1])).build(lambda: iter(found), tmp_path, "x")
        assert all(learned.decode(learned.encode(text)) == text for text in found)


def test_text_without_a_space_still_has_the_space_piece(tmp_path):
    learned = recipe(269, symbols=[]).build(lambda: iter(["abcabcab" * 50 + "defg"]), tmp_path, "x")
    assert learned.decode(learned.encode("ab c")) == "ab c"
