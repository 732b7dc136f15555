"""What learned tokenizers share: every text comes back, exact bytes, one blob a text, refusals in our words."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.bpe import BPE
from pgolf.tokenizer.unigram import Unigram
from tests.tokenizer.hard_texts import ODD_TEXTS, TRICKY, settings_for, texts


@pytest.fixture(scope="module", params=[BPE, Unigram], ids=lambda cls: cls.tokenizer.kind)
def recipe(request):
    return lambda vocab_size, **changed: request.param(**settings_for(vocab_size, **changed))


@pytest.fixture(scope="module")
def tokenizer(recipe, tmp_path_factory):
    return recipe(400).build(texts, tmp_path_factory.mktemp("cache"), "tiny")


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


def test_ids_stay_below_the_vocabulary_and_specials_are_never_emitted(tokenizer):
    ids = np.concatenate([tokenizer.encode(text) for text in [*TRICKY, *texts()]])
    assert ids.dtype == np.uint16 and ids.max() < tokenizer.vocab_size == 400 and ids.min() >= 4


def test_blob_rebuilds_a_tokenizer_that_encodes_alike(tokenizer):
    again = from_blob(tokenizer.to_blob())
    assert again.to_blob() == tokenizer.to_blob() and type(again) is type(tokenizer)
    assert (again.name, again.vocab_size, again.metric) == (f"{tokenizer.kind}400", 400, "raw")
    for text in [*TRICKY, *texts()]:
        assert (again.encode(text) == tokenizer.encode(text)).all()


def test_two_trainings_give_the_same_bytes(recipe, tokenizer, tmp_path):
    assert recipe(400).build(texts, tmp_path, "tiny").to_blob() == tokenizer.to_blob()


def test_second_build_reads_the_cache_and_settings_and_content_are_its_key(recipe, tmp_path):
    first = recipe(400).build(texts, tmp_path, "a")

    def never():
        raise AssertionError("the cache was not used")

    assert recipe(400).build(never, tmp_path, "a").to_blob() == first.to_blob()
    with pytest.raises(AssertionError, match="cache was not used"):
        recipe(400).build(never, tmp_path, "b")
    with pytest.raises(AssertionError, match="cache was not used"):
        recipe(400, split_digits=True).build(never, tmp_path, "a")


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-3],
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),  # still a tokenizer, of other pieces
        lambda raw: b"",
        lambda raw: raw[:32],
    ],
)
def test_damaged_cached_tokenizer_is_an_error_that_says_what_to_delete(recipe, tmp_path, damage):
    recipe(400).build(texts, tmp_path, "a")
    (path,) = (tmp_path / "tokenizers").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"{path}: damaged; .*: rm {path}"):
        recipe(400).build(texts, tmp_path, "a")
    path.unlink()
    assert recipe(400).build(texts, tmp_path, "a").vocab_size == 400


def test_folder_in_place_of_the_cached_tokenizer_is_an_error(recipe, tmp_path):
    recipe(400).build(texts, tmp_path, "a")
    (path,) = (tmp_path / "tokenizers").iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=f"{path}: cannot be read"):
        recipe(400).build(texts, tmp_path, "a")


@pytest.mark.parametrize(("size", "found"), ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_what_sentencepiece_refuses_is_said_in_our_words_and_the_advice_works(recipe, tmp_path, size, found):
    with pytest.raises(DataError) as caught:
        recipe(size).build(lambda: iter(found), tmp_path, "x")
    said = str(caught.value)
    assert "--" not in said and ".cc" not in said and "tokenizer=bytes" in said
    assert not list(tmp_path.rglob("*.blob"))
    advised = re.search(r"tokenizer\.vocab_size=(\d+)", said)
    if advised:
        learned = recipe(int(advised[1])).build(lambda: iter(found), tmp_path, "x")
        assert all(learned.decode(learned.encode(text)) == text for text in found)


def test_lines_of_any_length_are_learned_from(recipe, tmp_path):
    assert recipe(280, symbols=[]).build(
        lambda: iter(["the cat sat on a mat, a dog ran to the old red barn by the hill " * 20_000]),
        tmp_path,
        "x",
    )


@pytest.mark.parametrize("raised", [DataError("the file is gone"), KeyboardInterrupt()])
def test_what_reading_raises_is_not_mistaken_for_a_refusal(recipe, tmp_path, raised):
    def broken():
        yield "some text"
        raise raised

    with pytest.raises(type(raised)) as caught:
        recipe(300).build(broken, tmp_path, "x")
    assert caught.value is raised


def test_text_without_a_space_still_has_the_space_piece(recipe, tmp_path):
    learned = recipe(269, symbols=[]).build(lambda: iter(["abcabcab" * 50 + "defg"]), tmp_path, "x")
    assert learned.decode(learned.encode("ab c")) == "ab c"
    stream = np.concatenate([[1], learned.encode("ab c")])
    assert learned.byte_lengths(stream).sum() == 4


def test_lone_surrogates_are_refused_with_their_place(tokenizer):
    with pytest.raises(DataError, match="character 2 is a lone surrogate"):
        tokenizer.encode("ab\ud800")


def test_ids_outside_the_vocabulary_are_refused_by_decode(tokenizer):
    with pytest.raises(DataError, match="leave the vocabulary of 400"):
        tokenizer.decode([5, 400])


@pytest.mark.parametrize("symbol", ["", "a\u2581", "<s>", "<0x41>"])
def test_symbols_that_would_be_ambiguous_are_refused(recipe, symbol):
    with pytest.raises(DataError, match="symbols"):
        recipe(400, symbols=[symbol])


def test_training_reads_no_more_than_train_bytes(recipe, tmp_path):
    seen = []

    def counted():
        for text in ["the cat sat on the mat " * 40] * 50:
            seen.append(text)
            yield text

    recipe(271, train_bytes=2000).build(counted, tmp_path, "x")
    assert len(seen) == 3
