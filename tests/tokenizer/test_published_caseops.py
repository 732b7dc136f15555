"""The published CaseOps model: case comes back, sidecars are exact, and without them the table leaves controls out."""

import io

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob
from pgolf.tokenizer.letter_case import CONTROLS, ESC, TITLE, transform
from pgolf.tokenizer.published_caseops import PublishedCaseOps, PublishedCaseOpsTokenizer


def model(symbols=CONTROLS):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([transform("iPhone NASA The I and the rest of it")] * 40), model_writer=out,
        vocab_size=310, model_type="bpe", normalization_rule_name="nmt_nfkc", add_dummy_prefix=False,
        byte_fallback=True, user_defined_symbols=list(symbols), pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return out.getvalue()


@pytest.fixture(scope="module")
def tokenizer():
    return PublishedCaseOpsTokenizer(name="caseops", model=model())


def counted(tokenizer, text):
    return int(tokenizer.byte_lengths(np.array([1, *tokenizer.encode(text)], dtype=np.uint16)).sum())


def test_the_controls_have_the_published_ids(tokenizer):
    assert tokenizer.control_ids == [4, 5, 6, 7]


def test_case_comes_back_and_white_space_is_normalised(tokenizer):
    assert tokenizer.decode(tokenizer.encode("iPhone  NASA\nThe I")) == "iPhone NASA The I"


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("aAbB thePhone\n 5é€😀½" + CONTROLS)))
def test_a_sidecar_has_the_bytes_of_the_text_without_white_space_at_its_ends(tokenizer, text):
    ids, carried = tokenizer.encode_with_bytes(text)
    assert (ids == tokenizer.encode(text)).all()
    assert carried.sum() == len(text.strip(" \n").encode())


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("aAbB thePhone5é€😀" + CONTROLS)))
def test_without_a_sidecar_bytes_are_those_of_the_decoded_text(tokenizer, text):
    """Which is normalised; a space at a document's start has BOS before it and does not count."""
    decoded = tokenizer.decode(tokenizer.encode(text))
    assert counted(tokenizer, text) == len(decoded.encode())


def test_an_escaped_control_counts_itself_and_an_unescaped_one_nothing(tokenizer):
    ids = tokenizer.encode(ESC + TITLE + "The")
    assert ids[:6].tolist()[:4] == [7, 7, 7, 4]
    assert tokenizer.byte_lengths(np.array([1, *ids], dtype=np.uint16)).tolist()[:5] == [0, 3, 0, 3, 0]


def test_a_blob_carries_it_and_recipes_hold_the_model_to_what_it_should_be(tokenizer, tmp_path):
    again = from_blob(tokenizer.to_blob())
    assert (again.encode("The NASA") == tokenizer.encode("The NASA")).all() and again.metric == "table"
    path = tmp_path / "x.model"
    path.write_bytes(model())
    recipe = PublishedCaseOps(name="x", vocab_size=tokenizer.vocab_size, model_file=str(path))
    assert recipe.brings_model and recipe.build(lambda: iter(()), tmp_path, "").to_blob()
    path.write_bytes(model(CONTROLS[:2]))
    recipe = PublishedCaseOps(name="x", vocab_size=tokenizer.vocab_size, model_file=str(path))
    with pytest.raises(DataError, match=r"no pieces for the controls of case U\+E004; it is no CaseOps model"):
        recipe.build(lambda: iter(()), tmp_path, "")
    reserved = [*CONTROLS, TITLE + "t"]
    with pytest.raises(DataError, match=r"the controls of case are no tokens of their own, '\\ue001t' holds one"):
        PublishedCaseOpsTokenizer(name="x", model=model(reserved))
    with pytest.raises(DataError, match="comes with data=fineweb"):
        PublishedCaseOps(name="x", vocab_size=300, model_file=None).build(lambda: iter(()), tmp_path, "")
