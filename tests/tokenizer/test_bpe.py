"""Lossless BPE: round trips for every text, exact bytes, the same blob from the same text."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.bpe import BPE, BPETokenizer
from tests.tokenizer.hard_texts import ODD_TEXTS, TRICKY, texts


def recipe(vocab_size=400, **changed):
    numbers = {"character_coverage": 0.9995, "split_digits": False, "symbols": ["\n\n"], "train_bytes": 10**8}
    return BPE(vocab_size=vocab_size, **(numbers | changed))


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
    assert tokenizer.decode(ids) == text
    stream = np.concatenate([[tokenizer.bos_id], ids]).astype(np.uint16)
    assert tokenizer.byte_lengths(stream).sum() == len(text.encode())


def test_bytes_per_token_do_not_depend_on_the_neighbour(tokenizer):
    ids = np.arange(tokenizer.vocab_size, dtype=np.uint16)
    forward = tokenizer.byte_lengths(np.concatenate([[1], ids]).astype(np.uint16))
    after_space = tokenizer.byte_lengths(np.stack([np.full_like(ids, 260), ids], 1).reshape(-1))[::2]
    assert (forward == after_space).all()
    assert forward[:4].tolist() == [0, 0, 0, 0] and (forward[4:260] == 1).all()
    assert forward[260] == 2  # the paragraph break
    assert forward.dtype == np.int64


def test_ids_stay_below_the_vocabulary_and_specials_are_never_emitted(tokenizer):
    ids = np.concatenate([tokenizer.encode(text) for text in [*TRICKY, *texts()]])
    assert ids.dtype == np.uint16 and ids.max() < tokenizer.vocab_size == 400 and ids.min() >= 4


def test_common_words_and_paragraph_breaks_are_single_tokens(tokenizer):
    assert len(tokenizer.encode(" the")) == 1
    assert tokenizer.encode("\n\n").tolist() == [260]


def test_blob_rebuilds_a_tokenizer_that_encodes_alike(tokenizer):
    again = from_blob(tokenizer.to_blob())
    assert again.to_blob() == tokenizer.to_blob()
    assert (again.name, again.vocab_size, again.metric) == ("bpe400", 400, "raw")
    for text in [*TRICKY, *texts()]:
        assert (again.encode(text) == tokenizer.encode(text)).all()


def test_two_trainings_give_the_same_bytes(tokenizer, tmp_path):
    assert recipe().build(texts, tmp_path, "tiny").to_blob() == tokenizer.to_blob()


def test_second_build_reads_the_cache_and_settings_and_content_are_its_key(tmp_path):
    first = recipe().build(texts, tmp_path, "a")

    def never():
        raise AssertionError("the cache was not used")

    assert recipe().build(never, tmp_path, "a").to_blob() == first.to_blob()
    with pytest.raises(AssertionError, match="cache was not used"):
        recipe().build(never, tmp_path, "b")
    with pytest.raises(AssertionError, match="cache was not used"):
        recipe(split_digits=True).build(never, tmp_path, "a")


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-3],
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),  # still a tokenizer, of other merges
        lambda raw: b"",
        lambda raw: raw[:32],
    ],
)
def test_damaged_cached_tokenizer_is_an_error_that_says_what_to_delete(tmp_path, damage):
    recipe().build(texts, tmp_path, "a")
    (path,) = (tmp_path / "tokenizers").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"{path}: damaged; .*: rm {path}"):
        recipe().build(texts, tmp_path, "a")
    path.unlink()
    assert recipe().build(texts, tmp_path, "a").vocab_size == 400


def test_folder_in_place_of_the_cached_tokenizer_is_an_error(tmp_path):
    recipe().build(texts, tmp_path, "a")
    (path,) = (tmp_path / "tokenizers").iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=f"{path}: cannot be read"):
        recipe().build(texts, tmp_path, "a")


@pytest.mark.parametrize(("size", "found"), ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_what_sentencepiece_refuses_is_said_in_our_words_and_the_advice_works(tmp_path, size, found):
    with pytest.raises(DataError) as caught:
        recipe(size).build(lambda: iter(found), tmp_path, "x")
    said = str(caught.value)
    assert "--" not in said and ".cc" not in said and "tokenizer=bytes" in said
    assert not list(tmp_path.rglob("*.blob"))
    advised = re.search(r"tokenizer\.vocab_size=(\d+)", said)
    if advised:
        tokenizer = recipe(int(advised[1])).build(lambda: iter(found), tmp_path, "x")
        assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in found)


def test_lines_of_any_length_are_learned_from(tmp_path):
    assert recipe(300, symbols=[]).build(
        lambda: iter(["the cat sat on a mat, a dog ran to the old red barn by the hill " * 20_000]),
        tmp_path,
        "x",
    )


@pytest.mark.parametrize("raised", [DataError("the file is gone"), KeyboardInterrupt()])
def test_what_reading_raises_is_not_mistaken_for_a_refusal(tmp_path, raised):
    def broken():
        yield "some text"
        raise raised

    with pytest.raises(type(raised)) as caught:
        recipe(300).build(broken, tmp_path, "x")
    assert caught.value is raised


def test_text_without_a_space_still_has_the_space_piece(tmp_path):
    tokenizer = recipe(270, symbols=[]).build(lambda: iter(["abcabcab" * 50 + "defg"]), tmp_path, "x")
    assert tokenizer.decode(tokenizer.encode("ab c")) == "ab c"
    stream = np.concatenate([[1], tokenizer.encode("ab c")])
    assert tokenizer.byte_lengths(stream).sum() == 4


def test_vocabulary_without_space_piece_is_refused():
    with pytest.raises(DataError, match="no standalone space piece"):
        BPETokenizer(name="x", symbols=[], pieces=["a", "b"])


def test_lone_surrogates_are_refused_with_their_place(tokenizer):
    with pytest.raises(DataError, match="character 2 is a lone surrogate"):
        tokenizer.encode("ab\ud800")


def test_ids_outside_the_vocabulary_are_refused_by_decode(tokenizer):
    with pytest.raises(DataError, match="leave the vocabulary of 400"):
        tokenizer.decode([5, 400])


@pytest.mark.parametrize("symbol", ["", "a\u2581", "<s>", "<0x41>"])
def test_symbols_that_would_be_ambiguous_are_refused(symbol):
    with pytest.raises(DataError, match="symbols"):
        recipe(symbols=[symbol])


def test_training_reads_no_more_than_train_bytes(tmp_path):
    seen = []

    def counted():
        for text in ["the cat sat on the mat " * 40] * 50:
            seen.append(text)
            yield text

    recipe(275, train_bytes=2000).build(counted, tmp_path, "x")
    assert len(seen) == 3
