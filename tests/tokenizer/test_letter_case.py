"""CaseOps: worked example D, losslessness, and a sidecar that counts the original's bytes."""

import io

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.tokenizer.letter_case import ALLCAPS, CAPNEXT, CONTROLS, ESC, TITLE, restore, sidecar, transform

TEXT = "iPhone NASA The I"


@pytest.fixture(scope="module")
def processor():
    """A published-like model over transformed text, controls reserved."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([transform("iPhone NASA The I and the rest of it")] * 40), model_writer=model,
        vocab_size=310, model_type="bpe", normalization_rule_name="nmt_nfkc", add_dummy_prefix=False,
        byte_fallback=True, user_defined_symbols=list(CONTROLS), pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def test_worked_example_d(processor):
    assert transform(TEXT) == f"i{CAPNEXT}phone {ALLCAPS}nasa {TITLE}the {TITLE}i"
    ids, carried = sidecar(transform(TEXT), processor)
    assert carried.sum() == 17 == len(TEXT.encode())
    assert len(ids) == len(carried) and ids.dtype == carried.dtype == np.uint16


@given(text=st.text(alphabet=st.one_of(st.sampled_from("abAB \n1é" + CONTROLS), st.characters())))
def test_transform_is_lossless_even_for_its_own_controls(text):
    assert restore(transform(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lower", "lower"),
        ("I", TITLE + "i"),
        ("OK", ALLCAPS + "ok"),
        ("McDonald", f"{TITLE}mc{CAPNEXT}donald"),
        ("ÉA", f"É{TITLE}a"),
        (TITLE, ESC + TITLE),
        (ESC + "a", ESC + ESC + "a"),
    ],
)
def test_each_rule(text, expected):
    assert transform(text) == expected


def test_restore_refuses_what_transform_never_writes():
    for text in (ALLCAPS, "A", TITLE + "1", "a" + ESC, ALLCAPS + "a"):
        with pytest.raises(DataError, match="not a transformed text"):
            restore(text)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("aAbB thePhone\n 5é€😀½" + CONTROLS)))
def test_sidecar_sums_to_the_text_without_outer_white_space(processor, text):
    _, carried = sidecar(transform(text), processor)
    assert carried.sum() == len(text.strip(" \n").encode())


def test_byte_fallback_surface_sits_on_the_last_byte_piece(processor):
    _, carried = sidecar("a😀", processor)
    assert carried.tolist()[-4:] == [0, 0, 0, 4]


def test_controls_and_escapes_carry_nothing_and_an_escaped_control_carries_itself(processor):
    _, carried = sidecar(ESC + TITLE + TITLE + "i", processor)
    assert carried.tolist() == [0, 3, 0, 1]
